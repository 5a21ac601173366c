"""A cutover on another host, to which the connection may be cut while the guest stands still."""

from pathlib import Path

import pytest

from svmove.model import DomainState
from svmove.move.phases import Phase
from svmove.outcomes import State
from tests.fake import CrashError
from tests.move.stage import Stage

PAUSE = 2.0


def far(folder: Path, *targets: str) -> Stage:
    stage = Stage(folder, *targets)
    stage.world.remote = True
    return stage


def test_what_would_wake_the_guest_is_set_before_it_is_suspended_and_called_off_when_it_goes_on(tmp_path: Path) -> None:
    stage = far(tmp_path)
    set_for: list[float] = []
    stage.world.before["suspend"] = lambda: set_for.append(stage.world.wakes - stage.world.time)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert all(0 < seconds <= PAUSE for seconds in set_for)
    assert (len(set_for), stage.world.woken, stage.world.wakes) == (1, False, float("inf"))


@pytest.mark.parametrize("call", ["suspend", "job", "request_pivot", "begin_export", "resume"])
@pytest.mark.parametrize("after", [0.5, 60.0])
def test_a_guest_whose_svmove_is_cut_off_goes_on_within_its_pause(tmp_path: Path, call: str, after: float) -> None:
    """`after` so many seconds somebody comes back."""
    stage = far(tmp_path, "vda", "vdb")
    plan = stage.plan()

    def cut() -> None:
        if stage.world.suspended or call == "suspend":
            stage.world.faults.dead = True

    stage.world.before[call] = cut
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before, stage.world.faults.dead = {}, False
    for _ in range(int(after / 0.25)):
        stage.world.pass_time(0.25)
    if after > PAUSE:
        assert stage.world.state is DomainState.RUNNING
    outcome = stage.resume(plan.move)
    assert outcome.state in (State.DONE, State.ROLLED_BACK, State.HELD)
    assert all(pause <= PAUSE + 1.0 for pause in stage.world.pauses)  # a tick of the world
    stage.world.check_copies()


def test_an_export_that_was_begun_after_the_guest_went_on_is_no_proof(tmp_path: Path) -> None:
    stage = far(tmp_path)
    stage.world.before["begin_export"] = lambda: stage.world.pass_time(2 * PAUSE)
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "unverified")
    assert not stage.facts(outcome.move, "verified")
    assert stage.check(outcome.move or "") is Phase.HELD
