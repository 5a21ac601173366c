"""One failure for each phase: where the move ends, where the guest is, and what is left."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.errors import InterruptedMoveError, UnreachableError
from svmove.model import DomainState, Event, EventKind
from svmove.moves import GuestOn, Outcome, State
from svmove.policy import MovePolicy, Policy, SpacePolicy
from svmove.units import MiB
from tests.fake import BLOCK, Copying, World, refuse
from tests.move.stage import Stage


def once(harm: Callable[[], None]) -> Callable[[], None]:
    """The harm at the first call, and none later."""
    left = [harm]
    return lambda: left.pop()() if left else None


def at_call(number: int, harm: Callable[[], None]) -> Callable[[], None]:
    seen = iter(range(1, 10_000))
    return lambda: harm() if next(seen) == number else None


def assert_rolled_back(stage: Stage, outcome: Outcome, code: str) -> None:
    assert outcome.state is State.ROLLED_BACK
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.error.guest_on is GuestOn.SOURCE
    assert outcome.move is not None
    assert stage.check(outcome.move) == "rolled-back"
    assert not any(stage.destinations().values())
    assert outcome.findings == ()


def assert_held(stage: Stage, outcome: Outcome, code: str) -> None:
    assert outcome.state is State.HELD
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.move is not None
    assert stage.check(outcome.move) == "held"
    assert all(stage.sources().values())
    assert all(stage.destinations().values())


# Before the cutover


def test_a_destination_that_somebody_has_cut_off_is_never_switched_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    sizes = iter([False, True])

    def cut_off() -> None:
        if next(sizes, True):
            stage.world.cut.add("/pools/fast/web-vda.qcow2")

    stage.world.before = {"size": cut_off}
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "destination-replaced")


def test_a_destination_that_is_gone_after_the_verification_keeps_the_source(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def remove() -> None:
        del stage.world.files["/pools/fast/web-vda.qcow2"]

    stage.world.before["compare"] = once(remove)
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "unclear")
    assert stage.sources() == {"vda": True}


def test_a_destination_that_hangs_is_waited_for_without_suspending_the_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.hangs = True

    def mend() -> None:
        if stage.world.time > 20:
            stage.world.hangs = False

    stage.world.before["answers"] = mend
    outcome = stage.move()
    assert (outcome.state, stage.world.time > 20) == (State.DONE, True)
    assert max(stage.world.pauses) < 0.5


def test_a_destination_that_hangs_for_ever_is_given_up_without_suspending_the_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.hangs = True
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "destination-hangs")
    assert stage.world.pauses == []


def test_a_guest_that_was_moved_since_the_plan_is_not_touched(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    drive = stage.world.drives["vda"]
    drive.inactive = drive.path = "/pools/slow/other.qcow2"
    drive.file = stage.world.make_file("/pools/slow/other.qcow2")
    drive.file.blocks = list(drive.truth)
    outcome = stage.run(plan)
    assert outcome.state in (State.ROLLED_BACK, State.HELD)
    assert outcome.error is not None
    assert {"create_volume", "start_copy", "delete_volume"}.isdisjoint(stage.world.faults.calls)
    assert stage.world.marker is None


def test_a_guest_that_another_svmove_marked_since_the_plan_is_left_to_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    stage.world.marker = "other"
    outcome = stage.run(plan)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "changed")
    assert stage.world.marker == "other"
    assert "create_volume" not in stage.world.faults.calls


def test_a_block_job_that_began_since_the_plan_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    path = "/pools/slow/backup.qcow2"
    foreign = Copying(path=path, file=stage.world.make_file(path))
    stage.world.drives["vda"].mirror = foreign
    outcome = stage.run(plan)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "changed")
    assert stage.world.drives["vda"].mirror is foreign
    assert not foreign.cancelled


def test_a_name_that_was_taken_since_the_plan_is_left_to_its_owner(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan()
    theirs = stage.world.make_file("/pools/fast/web-vda.qcow2")
    outcome = stage.run(plan)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "name-taken")
    assert stage.world.files["/pools/fast/web-vda.qcow2"] is theirs


def test_a_name_that_is_taken_at_the_creation_itself_is_kept_and_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    theirs: list[object] = []
    stage.world.before["create_volume"] = lambda: theirs.append(stage.world.make_file("/pools/fast/web-vda.qcow2"))
    outcome = stage.move()
    assert outcome.state is State.ROLLED_BACK
    assert stage.world.files["/pools/fast/web-vda.qcow2"] is theirs[0]
    assert [finding.code for finding in outcome.findings] == ["destination-kept"]


def test_the_second_volume_that_can_not_be_made_takes_the_first_along(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["create_volume"] = at_call(2, refuse("no space"))
    assert_rolled_back(stage, stage.move(), "libvirt-error")


def test_a_copy_that_can_not_be_started_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["start_copy"] = at_call(2, refuse("out of memory"))
    assert_rolled_back(stage, stage.move(), "libvirt-error")


def test_a_job_that_vanishes_is_no_success(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def vanish() -> None:
        stage.world.drives["vda"].mirror = None

    stage.world.before["next"] = once(vanish)
    assert_rolled_back(stage, stage.move(), "job-vanished")


def test_a_job_that_somebody_cancels_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def cancel() -> None:
        mirror = stage.world.drives["vda"].mirror
        assert mirror is not None
        mirror.cancelled = True

    stage.world.before["next"] = once(cancel)
    assert_rolled_back(stage, stage.move(), "job-cancelled")


def test_a_full_destination_is_told_as_no_space(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["next"] = once(lambda: stage.world.fail_mirror("vda", "No space left on device"))
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "no-space")
    assert outcome.error is not None
    assert "No space left on device" in outcome.error.text
    assert outcome.error.remedy is not None


def test_the_reason_is_found_when_it_comes_after_the_failure(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        stage.world.drives["vda"].mirror = None
        stage.world.emit(Event(kind=EventKind.FAILED, target="vda"))
        stage.world.emit(Event(kind=EventKind.REASON, target="vdb", text="of another"))
        stage.world.emit(Event(kind=EventKind.REASON, target="vda", text="Input/output error"))

    stage.world.before["next"] = once(fail)
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "copy-failed")
    assert outcome.error is not None
    assert "Input/output error" in outcome.error.text


def test_a_failure_without_a_reason_is_told_as_such(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["next"] = once(lambda: stage.world.fail_mirror("vda", None))
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "copy-failed")
    assert outcome.error is not None
    assert "no reason" in outcome.error.text


def test_a_guest_that_is_stopped_in_mid_copy_is_rolled_back_off(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["next"] = once(stage.world.stop_guest)
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "guest-stopped")
    assert stage.world.state is DomainState.OFF
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": False})


def _lost_between_copy_and_cutover(world: World) -> None:
    world.drives["vda"].mirror = None


def test_a_mirror_that_is_lost_when_all_were_ready_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["make_scratch"] = lambda: _lost_between_copy_and_cutover(stage.world)
    assert_rolled_back(stage, stage.move(), "job-vanished")


def test_too_little_scratch_space_is_found_before_the_cutover(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def shrink() -> None:
        stage.world.free = 1 * MiB

    stage.world.before["make_scratch"] = shrink
    assert_rolled_back(stage, stage.move(), "unverified")
    assert stage.world.suspended == []


@pytest.mark.parametrize("call", ["create_volume", "start_copy", "next", "make_scratch", "suspend"])
def test_a_cancel_before_the_pivot_leaves_nothing_behind(tmp_path: Path, call: str) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before[call] = stage.cancel.set
    if call == "suspend":  # asked for in the pause, and the drain does not fit in
        stage.world.before["job"] = lambda: _stall(stage.world)
    assert_rolled_back(stage, stage.move(), InterruptedMoveError.code)


def _stall(world: World) -> None:
    for drive in world.drives.values():
        if world.state is DomainState.PAUSED and drive.mirror is not None:
            drive.mirror.per_tick = 0
            drive.mirror.dirty.add(0)


# The cutover


def test_a_drain_that_never_fits_in_is_given_up_after_three_short_pauses(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["job"] = lambda: _stall(stage.world)
    outcome = stage.move(max_pause=1.0)
    assert_rolled_back(stage, outcome, "pause-exceeded")
    assert len(stage.world.pauses) == 3
    assert max(stage.world.pauses) <= 1.0
    assert "request_pivot" not in stage.world.faults.calls


def test_a_drain_that_fits_in_the_second_time_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def stall_first() -> None:
        drive = stage.world.drives["vda"]
        if len(stage.world.suspended) == 1:
            _stall(stage.world)
        elif drive.mirror is not None:
            drive.mirror.per_tick = 2

    stage.world.before["job"] = stall_first
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert len(stage.world.pauses) == 2


def test_a_pivot_that_fails_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def spoil() -> None:
        mirror = stage.world.drives["vda"].mirror
        assert mirror is not None
        mirror.pivot_error = "Operation not permitted"

    stage.world.before["request_pivot"] = spoil
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "pivot-failed")
    assert outcome.error is not None
    assert "Operation not permitted" in outcome.error.text


def test_a_pivot_that_takes_longer_than_the_pause_lets_the_guest_go_on_in_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def slow() -> None:
        mirror = stage.world.drives["vda"].mirror
        assert mirror is not None
        mirror.per_tick = 0
        mirror.dirty.add(0)

    stage.world.before["request_pivot"] = slow
    outcome = stage.move(max_pause=1.0)
    assert outcome.state is State.HELD
    assert stage.world.state is DomainState.RUNNING
    assert max(stage.world.pauses) <= 1.0 + 0.1
    assert all(stage.sources().values())
    assert all(stage.destinations().values())


def test_a_pivot_that_comes_after_the_pause_is_waited_for_and_held_unverified(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    requested: list[float] = []

    def slow() -> None:
        requested.append(stage.world.time)
        mirror = stage.world.drives["vda"].mirror
        assert mirror is not None
        mirror.per_tick = 0
        mirror.dirty.add(0)

    def hurry() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None and requested and stage.world.time > requested[0] + 5:
            mirror.per_tick = 4

    stage.world.before = {"request_pivot": slow, "next": hurry}
    outcome = stage.move(max_pause=1.0)
    assert_held(stage, outcome, "unverified")
    assert outcome.error is not None
    assert outcome.error.guest_on is GuestOn.DESTINATION


def test_an_inactive_xml_that_libvirt_never_writes_is_written(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.xml_lags = True
    outcome = stage.move()
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert stage.world.drives["vda"].inactive == "/pools/fast/web-vda.qcow2"


def test_an_inactive_xml_that_can_not_be_written_is_no_proof(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.xml_lags = True
    stage.world.before["set_sources"] = refuse("read-only file system")
    assert_held(stage, stage.move(), "unclear")


def test_an_inactive_xml_that_a_person_changed_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.xml_lags = True

    def edit() -> None:
        stage.world.drives["vda"].inactive = "/elsewhere/web-vda.qcow2"

    stage.world.before["request_pivot"] = edit
    assert_held(stage, stage.move(), "unclear")
    assert stage.world.drives["vda"].inactive == "/elsewhere/web-vda.qcow2"


def test_a_guest_that_is_stopped_in_the_pause_keeps_both_copies(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["request_pivot"] = stage.world.stop_guest
    outcome = stage.move()
    assert outcome.state is State.HELD
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})


def test_a_suspend_that_is_refused_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["suspend"] = refuse("timed out")
    assert_rolled_back(stage, stage.move(), "cutover-failed")


def test_a_libvirt_that_goes_away_in_the_pause_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def lose() -> None:
        raise UnreachableError("lost libvirt")

    stage.world.before["request_pivot"] = once(lose)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert stage.world.reconnects == 1


# The verification


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


# The cleanup


def kept(stage: Stage, outcome: Outcome, why: str) -> None:
    assert outcome.state is State.DONE
    assert [finding.code for finding in outcome.findings] == ["source-kept"]
    assert why in outcome.findings[0].text
    assert stage.sources() == {"vda": True}


def test_a_file_that_took_the_sources_place_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def replace() -> None:
        stage.world.make_file("/pools/slow/web-vda.qcow2")

    stage.world.before["remove_scratch"] = replace
    kept(stage, stage.move(), "not the file that was copied")


def test_a_source_that_another_process_holds_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.held_by[stage.world.files["/pools/slow/web-vda.qcow2"].identity] = 77
    kept(stage, stage.move(), "process 77 has it open")


def test_a_source_that_another_domain_uses_by_then_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def share() -> None:
        stage.world.used_by["/pools/slow/web-vda.qcow2"] = "domain db"

    stage.world.before["remove_scratch"] = share
    kept(stage, stage.move(), "domain db uses it")


def test_a_guest_that_left_its_destination_keeps_its_source(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def back() -> None:
        stage.world.drives["vda"].inactive = "/pools/slow/web-vda.qcow2"

    stage.world.before["remove_scratch"] = back
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "unclear")
    assert stage.sources() == {"vda": True}


def test_a_source_that_can_not_be_deleted_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["delete_volume"] = refuse("Permission denied")
    kept(stage, stage.move(), "Permission denied")


def test_a_destination_that_is_not_what_svmove_made_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        stage.world.make_file("/pools/fast/web-vda.qcow2")
        stage.world.fail_mirror("vda", None)

    stage.world.before["next"] = once(fail)
    outcome = stage.move()
    assert outcome.state is State.ROLLED_BACK
    assert [finding.code for finding in outcome.findings] == ["destination-kept"]
    assert stage.destinations() == {"vda": True}


def test_a_destination_that_another_process_holds_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        stage.world.held_by[stage.world.files["/pools/fast/web-vda.qcow2"].identity] = 77
        stage.world.fail_mirror("vda", None)

    stage.world.before["next"] = once(fail)
    outcome = stage.move()
    assert [finding.code for finding in outcome.findings] == ["destination-kept"]
    assert stage.destinations() == {"vda": True}


def test_a_destination_that_another_domain_uses_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        stage.world.used_by["/pools/fast/web-vda.qcow2"] = "db"
        stage.world.fail_mirror("vda", None)

    stage.world.before["next"] = once(fail)
    outcome = stage.move()
    assert [finding.code for finding in outcome.findings] == ["destination-kept"]


def test_a_copy_that_can_not_be_cancelled_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["make_scratch"] = refuse("no")

    def forget() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            mirror.cancelled = False

    stage.world.before["next"] = forget
    stage.world.before["holds"] = forget
    assert_held(stage, stage.move(), "cancel-failed")


def test_the_policy_decides_how_often_the_cutover_is_tried(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(move=MovePolicy(cutover_attempts=1)))
    stage.world.before["job"] = lambda: _stall(stage.world)
    assert_rolled_back(stage, stage.move(), "pause-exceeded")
    assert len(stage.world.pauses) == 1


def test_nothing_is_removed_when_the_guest_is_not_proven_on_its_sources(tmp_path: Path) -> None:
    """Somebody has edited the guest to start from the unfinished copy: svmove does not know better."""
    stage = Stage(tmp_path)

    def edit_and_fail() -> None:
        stage.world.drives["vda"].inactive = "/pools/fast/web-vda.qcow2"
        stage.world.fail_mirror("vda", "Input/output error")

    stage.world.before["next"] = once(edit_and_fail)
    assert_held(stage, stage.move(), "unclear")


def test_a_guest_that_is_found_stopped_before_its_event_is_told_as_such(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def stop() -> None:
        if stage.world.drives["vda"].mirror is not None:
            stage.world.events = None  # its event comes later
            stage.world.stop_guest()
            stage.world.events = deque()

    stage.world.before["job"] = stop
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "guest-stopped")
