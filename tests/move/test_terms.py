"""Other terms for a move that is under way: `svmove set`."""

from pathlib import Path

import pytest

from svmove.errors import RefusedError
from svmove.moves import Terms
from svmove.outcomes import State
from svmove.units import KiB, MiB
from tests.fake import BLOCK, CrashError, Faults
from tests.move.stage import Stage

# The governor raises it fivefold through holes, and it must still be below a block a second.
SLOW = BLOCK // 8


def test_a_limit_that_is_lifted_lets_the_copy_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    asked: list[tuple[Terms, int | None]] = []

    def lift() -> None:
        # The looks at a copy that makes no way: the second is answered by a person.
        if not asked and stage.world.drives["vda"].mirror is not None:
            (move,) = stage.mover().open_moves()
            asked.append(stage.mover().change(move, bandwidth=None))

    stage.world.before["job"] = lift
    outcome = stage.move(bandwidth=SLOW)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert stage.facts(outcome.move, "rate") == []  # says nothing of how fast these pools are
    assert asked[0][0] == Terms(bandwidth=None, max_pause=2.0, deadline=None)


def test_another_limit_is_given_to_qemu_at_the_next_look(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.writes = False
    caps: list[int | None] = []

    def change() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            caps.append(mirror.cap)
        if len(caps) == 3:
            (move,) = stage.mover().open_moves()
            stage.mover().change(move, bandwidth=10 * MiB)

    stage.world.before["job"] = change
    assert stage.move(bandwidth=SLOW).state is State.DONE
    assert caps[0] == SLOW
    assert 10 * MiB in caps


def mirror_at_rest(stage: Stage) -> None:
    mirror = stage.world.drives["vda"].mirror
    assert mirror is not None
    mirror.per_tick = 0


def test_a_pause_that_is_allowed_later_is_kept_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["suspend"] = lambda: mirror_at_rest(stage)  # what is dirty then never drains

    def shorten() -> None:
        (move,) = stage.mover().open_moves()
        stage.mover().change(move, max_pause=0.5)

    stage.world.before["make_scratch"] = shorten
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "pause-exceeded")
    assert "500 ms" in str(outcome.error)
    assert max(stage.world.pauses) < 0.6


def test_what_was_changed_while_nobody_worked_on_it_is_taken_up_by_resume(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan(bandwidth=SLOW)
    stage.world.before["job"] = lambda: stage.world.faults.strike("virt", "job")
    stage.world.faults = Faults()
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.faults = Faults()
    terms, process = stage.mover().change(plan.move, bandwidth=None)
    assert (terms.bandwidth, process) == (None, None)
    assert stage.resume(plan.move).state is State.DONE


def test_what_has_ended_can_not_be_changed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    stage.run(plan)
    with pytest.raises(RefusedError, match="has ended"):
        stage.mover().change(plan.move, bandwidth=64 * KiB)


def test_a_pause_that_no_pivot_fits_in_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    refused: list[RefusedError] = []

    def shorten() -> None:
        (move,) = stage.mover().open_moves()
        with pytest.raises(RefusedError, match="a pivot alone") as raised:
            stage.mover().change(move, max_pause=0.1)
        refused.append(raised.value)

    stage.world.before["make_scratch"] = shorten
    assert stage.move().state is State.DONE
    assert len(refused) == 1


def test_a_copy_that_is_not_ready_in_time_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move(bandwidth=SLOW, deadline=30.0)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "deadline-exceeded")
    assert stage.check(outcome.move or "") == "rolled-back"
    assert 30 <= stage.world.time < 32


def test_a_move_that_is_over_in_time_is_not_stopped_in_its_verification(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare"] = lambda: stage.world.pass_time(100)
    outcome = stage.move(deadline=30.0)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)


def test_a_deadline_can_be_put_off_while_it_copies(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    asked: list[float] = []

    def put_off() -> None:
        if stage.world.drives["vda"].mirror is not None:
            (move,) = stage.mover().open_moves()
            if not asked:
                asked.append(stage.world.time)
                stage.mover().change(move, deadline=None)
            elif stage.world.time > 60 and len(asked) == 1:
                asked.append(stage.world.time)
                stage.mover().change(move, bandwidth=None)

    stage.world.before["job"] = put_off
    assert stage.move(bandwidth=SLOW, deadline=30.0).state is State.DONE
    assert stage.world.time > 60


def test_a_plan_says_when_the_deadline_will_not_be_met(tmp_path: Path) -> None:
    plan = Stage(tmp_path).plan(bandwidth=1 * KiB, deadline=10.0)
    assert (plan.findings[0].code, plan.deadline) == ("deadline-short", 10.0)
