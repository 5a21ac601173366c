"""A failure before the cutover: where the move ends, where the guest is, and what is left."""

from collections import deque
from pathlib import Path

import pytest

from svmove.errors import InterruptedMoveError
from svmove.events import Event, EventKind
from svmove.model import DomainState
from svmove.outcomes import State
from svmove.units import MiB
from tests.fake import Copying, World, refuse
from tests.move.harm import assert_rolled_back, at_call, once, stall
from tests.move.stage import Stage


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

    def hang() -> None:
        stage.world.hangs = True

    def mend() -> None:
        if stage.world.time > 20:
            stage.world.hangs = False

    stage.world.before["start_copy"], stage.world.before["answers"] = hang, mend
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
        stage.world.before["job"] = lambda: stall(stage.world)
    assert_rolled_back(stage, stage.move(), InterruptedMoveError.code)


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
