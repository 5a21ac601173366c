"""What is kept at the end of a move, and why."""

from pathlib import Path

from svmove.errors import HostError
from svmove.model import InactiveImage
from svmove.outcomes import Outcome, State
from tests.fake import World, refuse
from tests.move.harm import assert_held, once
from tests.move.stage import Stage


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


SOURCE = "/pools/slow/web-vda.qcow2"


def off_on_the_source(world: World) -> None:
    """The disk of a guest that is off, in no pool."""
    world.make_file("/elsewhere/db.qcow2").below = world.files[SOURCE]
    world.inactive_images = (InactiveImage(path="/elsewhere/db.qcow2", format="qcow2", user="domain db"),)


def test_a_source_that_a_guest_which_is_off_is_based_on_by_then_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["remove_scratch"] = lambda: off_on_the_source(stage.world)
    kept(stage, stage.move(), "domain db uses it")


def test_a_source_is_kept_when_the_image_of_a_guest_that_is_off_can_not_be_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["remove_scratch"] = lambda: off_on_the_source(stage.world)
    stage.world.before["based_on"] = refuse("Permission denied", HostError)
    outcome = stage.move()
    assert (outcome.state, stage.sources()) == (State.DONE, {"vda": True})
    texts = {finding.code: finding.text for finding in outcome.findings}
    assert "/elsewhere/db.qcow2, of domain db, can't be read" in texts["source-kept"]


def test_an_image_that_is_not_there_keeps_no_source(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.inactive_images = (InactiveImage(path="/elsewhere/gone.qcow2", format="qcow2", user="domain db"),)
    assert stage.move().state is State.DONE
    assert stage.sources() == {"vda": False}


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


def test_nothing_is_removed_when_the_guest_is_not_proven_on_its_sources(tmp_path: Path) -> None:
    """Somebody has edited the guest to start from the unfinished copy: svmove does not know better."""
    stage = Stage(tmp_path)

    def edit_and_fail() -> None:
        stage.world.drives["vda"].inactive = "/pools/fast/web-vda.qcow2"
        stage.world.fail_mirror("vda", "Input/output error")

    stage.world.before["next"] = once(edit_and_fail)
    assert_held(stage, stage.move(), "unclear")
