"""A failure in the verification: both copies are kept, and the guest goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.errors import HostError, InterruptedMoveError, RefusedError
from svmove.events import Event, EventKind
from svmove.model import DomainState
from svmove.outcomes import GuestOn, State
from svmove.policy import SpacePolicy
from tests.fake import BLOCK, World, refuse
from tests.move.harm import assert_held, once
from tests.move.stage import Stage


def test_an_export_that_can_not_be_begun_is_held_unverified(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["begin_export"] = refuse("no backup")
    outcome = stage.move()
    assert_held(stage, outcome, "unverified")
    assert outcome.error is not None
    assert outcome.error.guest_on is GuestOn.DESTINATION


def _spoil_source(world: World, *blocks: int) -> Callable[[], None]:
    def spoil() -> None:
        for block in blocks:
            world.files["/pools/slow/web-vda.qcow2"].blocks[block] = -1

    return spoil


def test_a_mismatch_is_held_with_its_extents(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["compare"] = once(_spoil_source(stage.world, 0, 1, 3))
    outcome = stage.move()
    assert_held(stage, outcome, "mismatch")
    told = {
        disk.target: (disk.verified, [(extent.offset, extent.length) for extent in disk.mismatches])
        for disk in outcome.disks
    }
    assert told == {"vda": (False, [(0, 2 * BLOCK), (3 * BLOCK, BLOCK)]), "vdb": (True, [])}


def test_scratch_space_that_runs_short_ends_the_verification_and_not_the_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def shrink() -> None:
        stage.world.free = SpacePolicy().scratch_reserve - 1

    stage.world.before["compare"] = shrink
    outcome = stage.move()
    assert_held(stage, outcome, "unverified")
    assert stage.world.scratch == {}


def test_scratch_space_of_just_the_reserve_is_enough(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def shrink() -> None:
        stage.world.free = SpacePolicy().scratch_reserve

    stage.world.before["compare"] = shrink
    assert stage.move().state is State.DONE


def test_a_cancel_during_the_verification_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare"] = stage.cancel.set
    assert_held(stage, stage.move(), InterruptedMoveError.code)


@pytest.mark.parametrize("kind", [EventKind.IO_ERROR, EventKind.STOPPED])
def test_a_guest_in_trouble_during_the_verification_ends_it(tmp_path: Path, kind: EventKind) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare"] = lambda: stage.world.emit(Event(kind=kind))
    assert_held(stage, stage.move(), "unverified")


def test_a_guest_that_qemu_paused_for_the_scratch_file_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def pause() -> None:
        stage.world.state, stage.world.io_error = DomainState.PAUSED, True
        stage.world.emit(Event(kind=EventKind.IO_ERROR))

    stage.world.before["compare"] = pause
    assert_held(stage, stage.move(), "unverified")
    assert stage.world.state is DomainState.RUNNING


def test_a_guest_that_qemu_pauses_at_the_very_end_of_the_verification_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def pause() -> None:
        stage.world.before.clear()
        stage.world.state, stage.world.io_error = DomainState.PAUSED, True

    stage.world.before["remove_scratch"] = pause
    assert stage.move().state is State.DONE
    assert stage.world.state is DomainState.RUNNING


def test_a_comparison_that_gets_nowhere_is_given_up_after_the_policys_time(tmp_path: Path) -> None:
    """Its readers wait for a storage, which QEMU may do for ever."""
    stage = Stage(tmp_path)
    began: list[float] = []

    def hang() -> None:
        stage.world.hangs = True
        began.append(stage.world.time)

    stage.world.before["compare"] = once(hang)
    outcome = stage.move()
    assert_held(stage, outcome, "unverified")
    assert stage.world.time - began[0] >= 120
    assert outcome.error is not None
    assert "nothing was compared for " in outcome.error.text
    assert "the storage of /pools/fast/web-vda.qcow2 does not answer" in outcome.error.text
    # To end the export now would stop the guest until the storage answers.
    assert "end_export" not in stage.world.faults.calls
    move, mover = outcome.move or "", stage.mover()
    for way in (mover.accept, mover.rollback):
        with pytest.raises(RefusedError, match="does not answer"):
            way(move)
    assert not mover.relieve(move)
    stage.world.hangs = False
    assert mover.relieve(move)
    assert (stage.world.export, stage.world.scratch) == (None, {})
    assert mover.accept(move).state is State.DONE


def test_the_export_of_a_storage_that_hung_is_ended_by_whoever_takes_the_move_out_of_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def hang() -> None:
        stage.world.hangs = True

    stage.world.before["compare"] = once(hang)
    move = stage.move().move or ""
    stage.world.hangs = False
    assert stage.mover().rollback(move).state is State.DONE
    assert (stage.world.export, stage.world.scratch) == (None, {})


def test_a_comparison_that_can_not_read_tells_which_storage_does_not_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        stage.world.hangs = True
        raise HostError("qemu-img compare: Failed to read: Input/output error")

    stage.world.before["compare"] = fail
    outcome = stage.move()
    assert_held(stage, outcome, "unverified")
    assert outcome.error is not None
    assert "Input/output error; the storage of /pools/fast/web-vda.qcow2 does not answer" in outcome.error.text
