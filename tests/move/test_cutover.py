"""A failure in the cutover: where the move ends, where the guest is, and what is left."""

from pathlib import Path

import pytest

from svmove.errors import UnreachableError
from svmove.model import DomainState
from svmove.outcomes import GuestOn, State
from svmove.policy import MovePolicy, Policy
from tests.fake import refuse
from tests.move.harm import assert_held, assert_rolled_back, once, stall
from tests.move.stage import Stage


def test_a_drain_that_never_fits_in_is_given_up_after_three_short_pauses(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["job"] = lambda: stall(stage.world)
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
            stall(stage.world)
        elif drive.mirror is not None:
            drive.mirror.per_tick = 2

    stage.world.before["job"] = stall_first
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert len(stage.world.pauses) == 2


@pytest.mark.parametrize("call", ["suspend", "job"])
@pytest.mark.parametrize(("reason", "code", "text"), [
    ("Input/output error", "copy-failed", "to /pools/fast/web-vda.qcow2 failed: Input/output error"),
    ("No space left on device", "no-space", "No space left"),
    (None, "copy-failed", "QEMU gave no reason"),
])  # fmt: skip
def test_a_copy_that_is_lost_in_the_cutover_is_told_with_the_reason_and_the_guest_does_not_wait_for_it(
    tmp_path: Path, call: str, reason: str | None, code: str, text: str
) -> None:
    stage = Stage(tmp_path)

    def lose() -> None:
        if stage.world.suspended or call == "suspend":
            stage.world.before.pop(call, None)
            stage.world.fail_mirror("vda", reason)

    stage.world.before[call] = lose
    outcome = stage.move()
    assert_rolled_back(stage, outcome, code)
    assert outcome.error is not None
    assert text in outcome.error.text
    assert len(stage.world.pauses) == 1
    assert stage.world.pauses[0] < 0.1


def test_a_guest_that_is_stopped_in_the_cutover_is_told_to_be(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["suspend"] = stage.world.stop_guest
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "guest-stopped")


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


def test_the_policy_decides_how_often_the_cutover_is_tried(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(move=MovePolicy(cutover_attempts=1)))
    stage.world.before["job"] = lambda: stall(stage.world)
    assert_rolled_back(stage, stage.move(), "pause-exceeded")
    assert len(stage.world.pauses) == 1
