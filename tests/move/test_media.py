"""Images in drives: copied, compared and changed last of all; whatever fails leaves the medium as it was."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from svmove.errors import HostError, SvmoveError
from svmove.model import DomainState
from svmove.moves import Level
from svmove.outcomes import GuestOn, Outcome, State
from svmove.requests import DiskRequest, Method, Verify
from tests.fake import CrashError, Faults, refuse
from tests.move.harm import at_call
from tests.move.stage import Stage
from tests.move.test_crashes import crash, fail, lose

SLOW, FAST = "/pools/slow/sda.iso", "/pools/fast/sda.iso"
ALONE = {"disks": (DiskRequest(target="sda"),)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "vda", "sda")


def drive(stage: Stage) -> tuple[str | None, str | None]:
    medium = stage.world.media["sda"]
    return medium.path, medium.inactive


def stays(stage: Stage, outcome: Outcome, said: str) -> None:
    """The disks have gone over, the medium is where it was, no copy of it is left, and it is told."""
    assert (outcome.state, outcome.disks[0].verified, outcome.media[0].on) == (State.DONE, True, GuestOn.SOURCE)
    assert drive(stage) == (SLOW, SLOW)
    assert FAST not in stage.world.files
    (finding,) = [finding for finding in outcome.findings if finding.code == "medium-stays"]
    assert said in finding.text
    assert (finding.level, finding.target) == (Level.WARN, "sda")
    assert "virsh change-media web sda" in (finding.remedy or "")
    assert stage.check(outcome.move or "") == "done"


def test_a_medium_moves_with_the_guest_after_its_disks_and_its_source_is_kept(stage: Stage) -> None:
    outcome = stage.move()
    calls = stage.world.faults.calls
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert drive(stage) == (FAST, FAST)
    assert SLOW in stage.world.files
    assert (
        calls.index("compare") < calls.index("copy_image") < calls.index("compare_local") < calls.index("change_medium")
    )
    (medium,) = outcome.media
    assert (medium.target, medium.source, medium.destination) == ("sda", SLOW, FAST)
    assert (medium.on, medium.found) == (GuestOn.DESTINATION, False)
    assert stage.check(outcome.move or "") == "done"


def test_a_medium_that_is_named_moves_alone_and_again_it_is_there(stage: Stage) -> None:
    outcome = stage.move(**ALONE)
    assert (outcome.state, outcome.disks, drive(stage)) == (State.DONE, (), (FAST, FAST))
    assert (stage.sources(), stage.world.marker) == ({"vda": True}, None)
    assert stage.phases(outcome.move) == ["admitted", "done"]
    assert stage.move(**ALONE).state is State.ALREADY_THERE


def test_an_equal_image_that_is_there_already_is_used(stage: Stage) -> None:
    stage.world.make_file(FAST).blocks = list(stage.world.files[SLOW].blocks)
    outcome = stage.move(verify=Verify.NONE)
    assert (drive(stage), outcome.media[0].found) == ((FAST, FAST), True)
    assert "copy_image" not in stage.world.faults.calls


def test_another_image_of_that_name_is_left_alone(stage: Stage) -> None:
    other = stage.world.make_file(FAST)
    outcome = stage.move()
    assert (outcome.state, drive(stage)) == (State.DONE, (SLOW, SLOW))
    assert stage.world.files[FAST] is other
    assert [f.code for f in outcome.findings] == ["medium-stays"]


def test_a_longer_image_of_that_name_is_another_one_though_only_zeroes_follow(stage: Stage) -> None:
    stage.world.make_file(FAST).blocks = [*stage.world.files[SLOW].blocks, 0]
    outcome = stage.move()
    assert (outcome.state, drive(stage)) == (State.DONE, (SLOW, SLOW))
    assert [f.code for f in outcome.findings] == ["medium-stays"]


def test_a_guest_that_has_locked_its_tray_keeps_its_medium(stage: Stage) -> None:
    stage.world.media["sda"].locked = True
    stays(stage, stage.move(), "locked")


def test_a_medium_that_the_guest_has_ejected_meanwhile_stays_out(stage: Stage) -> None:
    def eject() -> None:
        stage.world.media["sda"].tray_open = True

    stage.world.before["copy_image"] = eject
    stays(stage, stage.move(), "ejected")


def test_another_medium_that_a_person_has_put_in_meanwhile_stays_in(stage: Stage) -> None:
    other = stage.world.make_file("/pools/slow/other.iso")
    other.blocks = [7] * len(other.blocks)

    def swap() -> None:
        medium = stage.world.media["sda"]
        medium.path = medium.inactive = "/pools/slow/other.iso"
        medium.file = other

    stage.world.before["compare_local"] = swap
    outcome = stage.move()
    assert drive(stage) == ("/pools/slow/other.iso", "/pools/slow/other.iso")
    assert FAST not in stage.world.files
    assert "another medium" in outcome.findings[0].text


def test_of_two_media_live_and_for_the_next_start_only_the_one_that_was_copied_is_changed(stage: Stage) -> None:
    stage.world.make_file("/pools/slow/next.iso").blocks = [7] * 4
    stage.world.media["sda"].inactive = "/pools/slow/next.iso"
    assert stage.move().state is State.DONE
    assert drive(stage) == (FAST, "/pools/slow/next.iso")


@pytest.mark.parametrize("call", ["copy_image", "compare_local", "create_volume"])
def test_what_can_not_be_copied_stays_and_the_disks_are_where_they_should_be(stage: Stage, call: str) -> None:
    calls = iter(range(10))

    def harm() -> None:
        if call != "create_volume" or next(calls) == 1:  # the first one is vda's
            raise HostError("Input/output error")

    stage.world.before[call] = harm
    stays(stage, stage.move(), "Input/output error")


def test_a_copy_that_is_not_equal_does_not_get_into_the_drive(stage: Stage) -> None:
    def spoil() -> None:
        stage.world.files[FAST].blocks[0] = 0

    stage.world.before["compare_local"] = spoil
    stays(stage, stage.move(), "not equal")


def test_a_change_that_libvirt_refuses_for_the_next_start_is_told(stage: Stage) -> None:
    stage.world.before["change_medium"] = refuse("no")
    stays(stage, stage.move(), "no")


def test_a_move_that_is_rolled_back_has_not_touched_the_medium(stage: Stage) -> None:
    stage.world.before["suspend"] = refuse("timed out")
    outcome = stage.move()
    assert (outcome.state, drive(stage)) == (State.ROLLED_BACK, (SLOW, SLOW))
    assert (outcome.media[0].on, FAST in stage.world.files) == (GuestOn.SOURCE, False)


def test_an_interrupt_during_the_copy_leaves_the_medium_and_ends_the_move(stage: Stage) -> None:
    stage.world.before["copy_image"] = stage.cancel.set
    stays(stage, stage.move(), "stopped")


def hit(folder: Path, after_effect: bool) -> Iterator[tuple[str, Stage, str]]:
    """A move of a medium alone, hit by each error at each call."""
    whole = Stage(folder, "vda", "sda", uuid="6f2c8d1e-4444-4000-8000-000000000000")
    plan, whole.world.faults = whole.plan(**ALONE), Faults()
    whole.run(plan)
    rooms = list(whole.world.faults.rooms)
    for kind, make in enumerate((crash, lose, fail)):
        for number, room in enumerate(rooms, start=1):
            if make is lose and room != "virt":
                continue
            stage = Stage(
                folder, "vda", "sda", uuid=f"6f2c8d1e-444{kind + 1}-4000-8000-{number * 2 + after_effect:012d}"
            )
            plan = stage.plan(**ALONE)
            stage.world.faults = Faults(at=number, after_effect=after_effect, make=make)
            with suppress(CrashError, SvmoveError):
                stage.run(plan)
            yield f"{make.__name__} at call {number}, {stage.world.faults.struck}", stage, plan.move


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_whatever_hits_the_move_of_a_medium_it_ends_with_a_good_one_in_the_drive(
    tmp_path: Path, after_effect: bool
) -> None:
    ends = set()
    for where, stage, move in hit(tmp_path, after_effect):
        stage.world.faults = Faults()
        if move not in {summary.move for summary in stage.journal.moves(ended=True)}:
            assert stage.world.marker is None, where
            continue
        outcome = stage.resume(move)
        ends.add(outcome.state)
        assert outcome.state in (State.DONE, State.ROLLED_BACK), where
        assert stage.world.state is DomainState.RUNNING
        assert stage.world.marker is None, where
        assert set(drive(stage)) <= {SLOW, FAST}, where
        assert SLOW in stage.world.files, where
        stage.world.check_copies()
        told = {finding.code for finding in outcome.findings}
        assert FAST not in stage.world.files or FAST in drive(stage) or "destination-kept" in told, where
    assert State.DONE in ends


# A guest that is off


def test_a_medium_of_a_guest_that_is_off_is_changed_for_its_next_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "sda")
    stage.stop_guest()
    outcome = stage.move()
    assert (outcome.state, outcome.method, outcome.findings) == (State.DONE, Method.OFFLINE, ())
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"
    assert [(one.target, one.on) for one in outcome.media] == [("sda", GuestOn.DESTINATION)]
    stage.world.start_guest()
    assert stage.world.media["sda"].path == "/pools/fast/sda.iso"
    stage.world.check_copies()


def test_a_medium_of_a_guest_that_is_started_meanwhile_is_changed_in_its_drive(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "sda")
    stage.stop_guest()
    # The lock is free when the disks are through, and media come after that.
    stage.world.before["create_volume"] = at_call(2, stage.world.start_guest)
    stage.off = False
    outcome = stage.move()
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"
    assert stage.world.media["sda"].path == stage.world.media["sda"].inactive == "/pools/fast/sda.iso"
