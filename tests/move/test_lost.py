"""The journal of a move is lost altogether: the domain's marker is all that is left of it."""

from pathlib import Path

import pytest

from svmove.errors import NotFoundError
from svmove.move.tasks import TaskState
from svmove.outcomes import State
from svmove.volumes import NVRAM
from tests.fake import CrashError, FaultyJournal
from tests.move.stage import Stage


def lost(folder: Path, call: str, *targets: str) -> tuple[Stage, str]:
    """svmove died after `call`, and its journal with it."""
    stage = Stage(folder, *targets)
    if NVRAM in targets:
        stage.stop_guest()
    plan = stage.plan()

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.faults.dead = False
    (folder / "new").mkdir()
    stage.journal = FaultyJournal(str(folder / "new" / "journal.sqlite"), stage.world)
    return stage, plan.move


def test_the_task_pane_shows_what_the_marker_tells(tmp_path: Path) -> None:
    stage, move = lost(tmp_path, "job", "vda", "vdb")
    (task,) = stage.mover().tasks()
    assert (task.move, task.domain, task.disks, task.state) == (move, "web", ("vda", "vdb"), TaskState.UNKNOWN)


def test_it_is_held_and_goes_back_without_deleting_anything(tmp_path: Path) -> None:
    stage, move = lost(tmp_path, "job")
    outcome = stage.mover().resume(move)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.HELD, "journal-lost")
    assert "/pools/fast/web-vda.qcow2" in outcome.error.text
    assert [task.state for task in stage.mover().tasks()] == [TaskState.HELD]

    outcome = stage.mover().rollback(move)
    assert outcome.state is State.ROLLED_BACK
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})
    assert (stage.world.drives["vda"].mirror, stage.world.marker) == (None, None)
    assert [finding.code for finding in outcome.findings if finding.code == "destination-kept"]
    assert [left.kept is None for left in stage.mover().leftovers()] == [False]


def test_it_is_held_and_goes_forward_without_deleting_anything(tmp_path: Path) -> None:
    stage, move = lost(tmp_path, "paths_in_use")
    assert stage.mover().resume(move).state is State.HELD
    outcome = stage.mover().accept(move)
    assert outcome.state is State.DONE
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})
    assert stage.world.marker is None
    assert [finding.code for finding in outcome.findings] == ["adopted", "source-kept"]
    assert [left.kept is None for left in stage.mover().leftovers()] == [False]


@pytest.mark.parametrize("call", ["compare_local", "set_sources"])
def test_uefi_variables_go_forward_with_the_disk_and_nothing_is_deleted(tmp_path: Path, call: str) -> None:
    """Or back, while the XML still names the sources: the one is a definition, the other none."""
    stage, move = lost(tmp_path, call, "vda", NVRAM)
    assert stage.mover().resume(move).state is State.HELD
    over = call == "set_sources"
    outcome = stage.mover().accept(move) if over else stage.mover().rollback(move)
    assert outcome.state is (State.DONE if over else State.ROLLED_BACK)
    pool = "/pools/fast/" if over else "/pools/slow/"
    assert [drive.inactive.startswith(pool) for drive in stage.world.drives.values()] == [True, True]
    assert all((*stage.sources().values(), *stage.destinations().values()))
    stage.world.check_copies()


def test_an_id_that_neither_journal_nor_marker_knows_is_no_move(tmp_path: Path) -> None:
    stage, _ = lost(tmp_path, "job")
    with pytest.raises(NotFoundError):
        stage.mover().resume("20000101-000000-aaaaaa")


def test_another_move_of_that_guest_is_refused_meanwhile(tmp_path: Path) -> None:
    stage, move = lost(tmp_path, "job")
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.REFUSED, "move-running")
    assert move in str(outcome.error)
