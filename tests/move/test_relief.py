"""A guest whose svmove died where it would suffer from that is looked after, and nothing else is touched."""

from pathlib import Path
from typing import Any

import pytest

from svmove.errors import RefusedError, UnreachableError
from svmove.journal import working_on
from svmove.model import DomainState
from svmove.move import runner
from svmove.move.relief import brake
from svmove.outcomes import State
from tests.fake import CrashError, FakeHost
from tests.move.stage import Stage


def state(stage: Stage) -> DomainState:
    return stage.world.state


def exported(stage: Stage) -> bool:
    return stage.world.export is not None


def killed(folder: Path, call: str, **asked: Any) -> tuple[Stage, str]:
    """svmove died just after its first `call`."""
    stage = Stage(folder)
    return stage, kill(stage, call, **asked)


def kill(stage: Stage, call: str, **asked: Any) -> str:
    plan = stage.plan(**asked)

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.faults.dead = False
    return plan.move


@pytest.mark.parametrize("call", ["suspend", "request_pivot", "begin_export"])
def test_a_guest_that_stands_still_is_woken_and_the_move_stays_as_it_is(tmp_path: Path, call: str) -> None:
    stage, move = killed(tmp_path, call)
    assert state(stage) is DomainState.PAUSED
    phase = stage.record(move).phase
    while not stage.mover().relieve(move):
        stage.world.free = 0
    assert state(stage) is DomainState.RUNNING
    assert (stage.record(move).phase, stage.sources()) == (phase, {"vda": True})
    assert stage.resume(move).state in (State.DONE, State.HELD)
    stage.world.check_copies()


def test_a_guest_that_a_person_paused_stays_paused(tmp_path: Path) -> None:
    stage, move = killed(tmp_path, "compare")
    stage.world.state = DomainState.PAUSED
    stage.mover().relieve(move)
    assert state(stage) is DomainState.PAUSED


def test_the_export_stays_for_who_resumes_and_ends_before_scratch_space_runs_short(tmp_path: Path) -> None:
    stage, move = killed(tmp_path, "compare")
    assert not stage.mover().relieve(move)
    assert exported(stage)
    stage.world.free = 0
    stage.world.io_error = True
    assert stage.mover().relieve(move)
    assert not exported(stage)
    assert state(stage) is DomainState.RUNNING
    assert stage.resume(move).state is State.HELD


def test_a_move_that_a_process_works_on_is_left_to_it(tmp_path: Path) -> None:
    stage, move = killed(tmp_path, "suspend")
    with working_on(stage.journal.folder, move), pytest.raises(RefusedError):
        stage.mover().relieve(move)
    assert state(stage) is DomainState.PAUSED


def test_elsewhere_there_is_nothing_to_do(tmp_path: Path) -> None:
    stage, move = killed(tmp_path, "job")
    assert stage.mover().relieve(move)
    assert stage.record(move).phase == "copying"


def test_the_guard_is_on_duty_in_the_cutover_and_the_verification_and_off_afterwards(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan, told = stage.plan(), list[tuple[str, str | None]]()
    mover = stage.mover()
    mover.guard = lambda move: told.append((stage.journal.read(plan.move).phase, move))
    runner.begin(stage.journal, plan, "fake:///")
    mover.resume(plan.move)
    assert [phase for phase, move in told if move == plan.move] == ["cutover", "verifying"]
    assert told[-1] == ("done", None)


@pytest.mark.parametrize("call", ["suspend", "request_pivot", "begin_export"])
def test_without_libvirt_a_guest_that_stands_still_goes_on_by_qemus_monitor(tmp_path: Path, call: str) -> None:
    stage, move = killed(tmp_path, call)
    stage.world.daemon_is_dead = True
    brake(stage.journal, FakeHost(stage.world), move, 0.0)
    assert state(stage) is DomainState.RUNNING
    stage.world.daemon_is_dead = False
    assert stage.resume(move).state in (State.DONE, State.HELD, State.ROLLED_BACK)
    stage.world.check_copies()


@pytest.mark.parametrize("call", ["job", "compare"])
def test_without_libvirt_a_guest_that_svmove_did_not_suspend_is_left_alone(tmp_path: Path, call: str) -> None:
    stage, move = killed(tmp_path, call)
    stage.world.state, stage.world.daemon_is_dead = DomainState.PAUSED, True
    brake(stage.journal, FakeHost(stage.world), move, 0.0)
    assert state(stage) is DomainState.PAUSED


def test_a_daemon_that_dies_in_the_cutover_costs_no_more_than_the_pause(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def die() -> None:
        stage.world.daemon_is_dead = True
        raise UnreachableError("lost libvirt")

    def back() -> None:
        stage.world.daemon_is_dead = False
        stage.world.before = {}

    stage.world.before = {"request_pivot": die, "resume": die, "reconnect": back}
    outcome = stage.move()
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    stage.world.check_copies()
