"""The task pane, cancelling from another process, and what ended moves left behind."""

import threading
from pathlib import Path

import pytest

from svmove.errors import HypervisorError, RefusedError
from svmove.journal import Ask, Figures, working_on
from svmove.move.leftovers import LeftoverKind
from svmove.move.tasks import TaskState
from svmove.outcomes import State
from tests.fake import CrashError, refuse
from tests.move.stage import Stage


def left_in(folder: Path, call: str, *targets: str) -> tuple[Stage, str]:
    """svmove died just after its first `call`."""
    stage = Stage(folder, *targets)
    plan = stage.plan()

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.faults.dead = False
    return stage, plan.move


def test_a_move_that_nobody_works_on_is_left_and_shows_how_far_qemu_is(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "job", "vda", "vdb")
    stage.world.writes = False
    stage.world.pass_time(1.0)
    (task,) = stage.mover().tasks()
    assert (task.move, task.domain, task.disks, task.phase) == (move, "web", ("vda", "vdb"), "copying")
    assert (task.state, task.process) == (TaskState.LEFT, None)
    assert task.figures is not None
    assert task.figures.done == task.figures.end > 0


def test_a_move_that_a_process_works_on_shows_what_that_one_tells(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "job", "vda", "vdb")
    disks = {"vda": Figures(done=25, end=100, rate=5.0), "vdb": Figures(done=50, end=100, rate=20.0)}
    stage.journal.board.tell(move, 0.0, "copying", disks)
    with working_on(stage.journal.folder, move):
        (task,) = stage.mover().tasks()
    assert task.state is TaskState.RUNNING
    assert task.process is not None
    assert task.figures == Figures(done=75, end=200, rate=25.0)
    assert task.figures.remaining == 5.0


def test_a_move_tells_its_figures_as_it_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move()
    assert stage.journal.notices()[outcome.move or ""].disks["vda"].end > 0


def test_moves_that_have_ended_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move()
    assert stage.mover().tasks() == ()
    assert [(task.state, task.phase) for task in stage.mover().tasks(ended=True)] == [(TaskState.ENDED, "done")]


def test_a_left_move_is_cancelled_here(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "job")
    outcome = stage.mover().cancel(move)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "interrupted")
    assert stage.check(move) == "rolled-back"


def test_the_process_that_works_on_a_move_heeds_a_request_to_cancel(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    stage.world.before["start_copy"] = lambda: stage.journal.requests.add(plan.move, 0.0, Ask.CANCEL)
    outcome = stage.run(plan)
    assert outcome.error is not None
    assert (outcome.state, "svmove cancel" in outcome.error.text) == (State.ROLLED_BACK, True)


def test_to_cancel_waits_for_the_process_that_works_on_the_move(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "job")
    done = threading.Event()

    def cancel() -> None:
        stage.mover().cancel(move)
        done.set()

    with working_on(stage.journal.folder, move):
        thread = threading.Thread(target=cancel)
        thread.start()
        while not stage.journal.requests.has(move, Ask.CANCEL):
            pass
        assert not done.wait(0.1)
    thread.join(10)
    assert stage.record(move).phase == "rolled-back"


def test_from_the_cutover_on_it_is_too_late_to_cancel(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "compare")
    outcome = stage.mover().cancel(move)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)


def test_what_was_decided_is_not_cancelled_by_an_old_request(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before = {"create_volume": refuse("no"), "set_marker": lambda: None}
    plan = stage.plan()

    def no_way_back() -> None:
        if stage.world.marker is not None:
            raise HypervisorError("no")

    stage.world.before["paths_in_use"] = no_way_back
    assert stage.run(plan).state is State.HELD
    stage.journal.requests.add(plan.move, 0.0, Ask.CANCEL)
    stage.world.before = {}
    assert stage.mover().rollback(plan.move).state is State.ROLLED_BACK
    assert not stage.journal.requests.has(plan.move, Ask.CANCEL)


def test_a_move_that_has_ended_can_not_be_cancelled(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move()
    with pytest.raises(RefusedError, match="it is done"):
        stage.mover().cancel(outcome.move or "")


# What is left behind


def test_nothing_is_left_of_a_move_that_ended_well(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move()
    assert stage.mover().leftovers() == ()


def test_a_source_that_could_not_be_deleted_is_listed_and_removed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["delete_volume"] = refuse("permission denied")
    outcome = stage.move()
    assert outcome.state is State.DONE
    stage.world.before = {}
    mover = stage.mover()
    (left,) = mover.leftovers()
    assert (left.kind, left.path, left.kept, left.move) == (
        LeftoverKind.VOLUME,
        "/pools/slow/web-vda.qcow2",
        None,
        outcome.move,
    )
    mover.remove(left)
    assert mover.leftovers() == ()
    assert stage.sources() == {"vda": False}


@pytest.mark.parametrize("whose", ["domain", "process"])
def test_a_leftover_that_somebody_uses_by_now_stays(tmp_path: Path, whose: str) -> None:
    stage = Stage(tmp_path)
    stage.world.before["delete_volume"] = refuse("permission denied")
    stage.move()
    path = "/pools/slow/web-vda.qcow2"
    if whose == "domain":
        stage.world.used_by[path] = "domain other"
    else:
        stage.world.held_by[stage.world.files[path].identity] = 99
    (left,) = stage.mover().leftovers()
    assert left.kept is not None
    with pytest.raises(AssertionError):
        stage.mover().remove(left)


def test_a_file_that_has_taken_a_leftovers_name_is_not_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["delete_volume"] = refuse("permission denied")
    stage.move()
    stage.world.make_file("/pools/slow/web-vda.qcow2")
    assert stage.mover().leftovers() == ()


def test_a_marker_that_could_not_be_taken_off_is_listed_and_removed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    markings = 0

    def fail_the_second() -> None:
        nonlocal markings
        markings += 1
        if markings >= 2:
            raise HypervisorError("no")

    stage.world.before["set_marker"] = fail_the_second
    outcome = stage.move()
    assert (outcome.state, stage.world.marker) == (State.DONE, outcome.move)
    stage.world.before = {}
    (left,) = stage.mover().leftovers()
    assert (left.kind, left.kept) == (LeftoverKind.MARKER, None)
    stage.mover().remove(left)
    assert stage.world.marker is None


def test_a_marker_of_an_unknown_move_is_told_and_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.marker = "20000101-000000-aaaaaa"
    (left,) = stage.mover().leftovers()
    assert left.kept is not None
    assert "svmove resume" in left.kept


def test_what_a_move_under_way_uses_is_no_leftover(tmp_path: Path) -> None:
    stage, _ = left_in(tmp_path, "compare")
    assert stage.mover().leftovers() == ()


@pytest.mark.parametrize("targets", [("vda",), ("vda", "vdb")])
def test_a_volume_that_was_made_and_not_recorded_is_taken_over(tmp_path: Path, targets: tuple[str, ...]) -> None:
    stage, move = left_in(tmp_path, "create_volume", *targets)
    assert stage.resume(move).state is State.DONE
    assert stage.check(move) == "done"


def test_a_volume_that_was_made_and_not_recorded_is_removed_when_it_goes_back(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "create_volume")
    assert stage.mover().cancel(move).state is State.ROLLED_BACK
    assert stage.destinations() == {"vda": False}


def test_one_that_somebody_has_written_into_is_kept_and_told(tmp_path: Path) -> None:
    stage, move = left_in(tmp_path, "create_volume")
    stage.world.files["/pools/fast/web-vda.qcow2"].blocks[0] = 7
    outcome = stage.resume(move)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "name-taken")
    assert stage.destinations() == {"vda": True}
    assert [finding.code for finding in outcome.findings] == ["destination-kept"]
    (left,) = stage.mover().leftovers()
    assert left.kept is not None
