"""Method `snapshot` in the fake world: what goes wrong between the freeze and the last merge, and the ways out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HypervisorError, RefusedError
from svmove.events import Event, EventKind
from svmove.journal import Kind
from svmove.model import DomainState
from svmove.outcomes import GuestOn, Outcome, State
from svmove.requests import Method, Verify
from svmove.units import MiB
from tests.fake import CrashError, FaultyJournal
from tests.move.harm import assert_rolled_back, at_call, once
from tests.move.stage import Stage

SOURCE, DESTINATION = "/pools/slow/web-vda.qcow2", "/pools/fast/web-vda.qcow2"


def snapshot(stage: Stage, **asked: Any) -> Outcome:
    return stage.move(method=Method.SNAPSHOT, **asked)


def overlay(stage: Stage, pool: str = "slow", target: str = "vda") -> str:
    return next(path for path in stage.world.files if path.startswith(f"/pools/{pool}/web-{target}.qcow2."))


def spoil(stage: Stage, path: str) -> Callable[[], None]:
    def harm() -> None:
        stage.world.files[path].write(2, stage.world.files[path].read(2) + 1)

    return harm


def test_a_copy_that_differs_is_found_before_the_switch(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare_local"] = once(spoil(stage, DESTINATION))
    assert_rolled_back(stage, snapshot(stage), "copy-differs")


def test_a_cancel_in_mid_copy_merges_the_overlay_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["copy_image"] = stage.cancel.set
    assert_rolled_back(stage, snapshot(stage), "interrupted")


def test_a_guest_that_stops_in_mid_copy_starts_again_from_its_source_with_all_that_it_wrote(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare_local"] = once(stage.world.stop_guest)
    outcome = snapshot(stage)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.ROLLED_BACK, "guest-stopped")
    drive = stage.world.drives["vda"]
    assert (drive.inactive, list(stage.world.files)) == (SOURCE, [SOURCE])
    assert stage.world.files[SOURCE].content() == drive.truth


def test_a_guest_that_goes_off_after_a_freeze_that_nobody_saw_loses_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan(method=Method.SNAPSHOT)

    def die() -> None:
        stage.world.faults.dead = True

    # The freeze is carried out, and svmove dies before it can say so.
    stage.world.before["lay_over"] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.faults.dead = False
    stage.world.pass_time(1.0)
    stage.world.stop_guest()
    outcome = stage.resume(plan.move)
    assert outcome.state is State.ROLLED_BACK, outcome
    drive = stage.world.drives["vda"]
    assert (drive.inactive, list(stage.world.files)) == (SOURCE, [SOURCE])
    assert stage.world.files[SOURCE].content() == drive.truth


def test_an_overlay_with_writes_that_the_next_start_does_not_name_is_kept_and_the_move_held(tmp_path: Path) -> None:
    """libvirt died between QEMU's freeze and its own XML, and then the guest went off."""
    stage = Stage(tmp_path)

    def forgotten() -> None:
        stage.world.pass_time(1.0)  # the guest writes
        stage.world.drives["vda"].inactive = SOURCE
        stage.world.stop_guest()

    stage.world.before["copy_image"] = once(forgotten)
    outcome = snapshot(stage)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.HELD, "unclear")
    over = overlay(stage)
    assert stage.world.files[over].content() == stage.world.drives["vda"].truth
    # Nor does a person's word delete it.
    again = stage.mover().rollback(outcome.move or "")
    assert again.state is State.HELD
    assert over in stage.world.files


def test_a_merge_that_fails_holds_the_move_and_accept_tries_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")

    def refuse() -> None:
        raise HypervisorError("no")

    stage.world.before["begin_merge"] = refuse
    outcome = snapshot(stage)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.guest_on) == (State.HELD, GuestOn.DESTINATION)
    assert all(stage.sources().values())
    stage.world.check_copies()

    stage.world.before = {}
    assert stage.mover().accept(outcome.move or "").state is State.DONE
    assert stage.check(outcome.move or "") == "done"


def test_a_held_move_whose_guest_is_on_its_destination_is_moved_back_and_leaves_nothing_untold(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["compare"] = once(lambda: spoil(stage, overlay(stage))())
    outcome = snapshot(stage, verify=Verify.CUTOVER)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.HELD, "mismatch")
    back = stage.mover().rollback(outcome.move or "")
    assert back.state is State.DONE, back
    stage.world.check_copies()
    drive = stage.world.drives["vda"]
    assert drive.path.startswith("/pools/slow/")
    assert drive.file.below is None
    told = [entry.data["text"] for entry in stage.record(outcome.move).entries if entry.what.endswith("-kept")]
    others = set(stage.world.files) - {drive.path}
    assert all(any(path in text for text in told) for path in others), others


def test_a_roll_back_that_is_held_half_way_can_not_be_taken_forward_on_an_old_copy(tmp_path: Path) -> None:
    """vda is merged back, and its overlay hides nothing any more: freezing it again would show the guest old data."""
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["copy_image"] = stage.cancel.set

    def refuse() -> None:
        raise HypervisorError("no")

    stage.world.before["begin_merge"] = at_call(2, refuse)
    outcome = snapshot(stage)
    assert outcome.state is State.HELD
    stage.world.before = {}
    stage.cancel.clear()
    stage.world.pass_time(2.0)
    with pytest.raises(RefusedError, match="has changed"):
        stage.mover().accept(outcome.move or "")
    assert stage.mover().rollback(outcome.move or "").state is State.ROLLED_BACK
    assert stage.check(outcome.move or "") == "rolled-back"


def test_a_frozen_file_that_somebody_merged_into_is_not_copied_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def merged_by_somebody() -> None:
        drive = stage.world.drives["vda"]
        over, below = drive.file, drive.file.below
        assert below is not None
        for block in over.own:
            below.write(block, over.read(block))
        drive.file, drive.path, drive.inactive = below, SOURCE, SOURCE

    stage.world.before["size"] = at_call(3, merged_by_somebody)  # when it is proven
    assert_rolled_back(stage, snapshot(stage, verify=Verify.BEFORE), "changed")


def test_a_source_pool_that_runs_full_makes_the_move_give_way(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fill() -> None:
        stage.world.free = 200 * MiB

    stage.world.before["copy_image"] = once(fill)
    assert_rolled_back(stage, snapshot(stage), "no-overlay-space")


def test_a_guest_that_could_not_write_goes_on_when_its_overlay_is_gone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def pause() -> None:
        stage.world.state, stage.world.io_error = DomainState.PAUSED, True
        stage.world.emit(Event(kind=EventKind.IO_ERROR))

    stage.world.before["copy_image"] = once(pause)
    assert_rolled_back(stage, snapshot(stage), "guest-io-error")


def test_a_source_that_is_kept_is_one_file_as_it_was_at_the_cutover(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = snapshot(stage, keep_source=True)
    assert outcome.state is State.DONE
    assert set(stage.world.files) == {SOURCE, DESTINATION}
    (frozen,) = [stage.world.drives["vda"].frozen]
    assert stage.world.files[SOURCE].content() == frozen


def test_a_source_whose_guest_went_off_is_kept_with_what_was_written_last(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["end_export"] = at_call(1, stage.world.stop_guest)
    outcome = snapshot(stage)
    if outcome.state is State.HELD:
        outcome = stage.mover().accept(outcome.move or "")
    assert outcome.state is State.DONE, outcome
    over = overlay(stage)
    assert stage.world.files[over].below is stage.world.files[SOURCE]
    assert any(over in finding.text for finding in outcome.findings)
    assert len({left.kept for left in stage.mover().leftovers() if left.path in (over, SOURCE)}) == 1


def lost(folder: Path, call: str) -> tuple[Stage, str]:
    """svmove died before `call`, and its journal with it."""
    stage = Stage(folder)
    plan = stage.plan(method=Method.SNAPSHOT)

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


@pytest.mark.parametrize("call", ["copy_image", "suspend"])
def test_a_move_whose_journal_was_lost_goes_back_to_the_one_source_and_deletes_nothing(
    tmp_path: Path, call: str
) -> None:
    stage, move = lost(tmp_path, call)
    files = set(stage.world.files)
    assert stage.mover().resume(move).state is State.HELD
    assert stage.mover().rollback(move).state is State.ROLLED_BACK
    assert set(stage.world.files) == files
    drive = stage.world.drives["vda"]
    assert (drive.path, drive.inactive, drive.mirror, stage.world.marker) == (SOURCE, SOURCE, None, None)
    stage.world.check_copies()


def test_a_move_whose_journal_was_lost_goes_forward_to_the_one_destination_and_deletes_nothing(
    tmp_path: Path,
) -> None:
    stage, move = lost(tmp_path, "compare")
    files = set(stage.world.files)
    assert stage.mover().resume(move).state is State.HELD
    assert stage.mover().accept(move).state is State.DONE
    assert set(stage.world.files) == files
    drive = stage.world.drives["vda"]
    assert (drive.path, drive.inactive, drive.file.below) == (DESTINATION, DESTINATION, None)
    stage.world.check_copies()


def test_a_copy_that_was_ended_before_a_crash_is_not_made_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan(method=Method.SNAPSHOT)

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before["shares_all"] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    assert stage.resume(plan.move).state is State.DONE
    assert len(stage.record(plan.move).all(Kind.INTENT, "copy-layer")) == 1
    assert stage.check(plan.move) == "done"


def test_a_merge_into_another_file_than_the_one_below_is_not_begun(tmp_path: Path) -> None:
    """Somebody has rebased the overlay: QEMU would write into a file that is none of ours."""
    stage = Stage(tmp_path)

    def rebase() -> None:
        drive = stage.world.drives["vda"]
        other = stage.world.make_file("/pools/slow/other")
        other.blocks = drive.file.below.content() if drive.file.below else []
        drive.file.below = other
        stage.cancel.set()

    stage.world.before["shares_all"] = once(rebase)
    outcome = snapshot(stage)
    assert outcome.state is State.HELD
    assert outcome.error is not None
    assert outcome.error.code == "unclear"
    stage.world.check_copies()
