"""Method `offline` and the file of the UEFI variables, which moves as one more disk."""

from pathlib import Path

import pytest

from svmove.decisions import Way
from svmove.journal import Kind
from svmove.move.observe import Seen
from svmove.outcomes import GuestOn, State
from svmove.requests import DiskRequest
from svmove.volumes import NVRAM
from tests.fake import FakeHypervisor
from tests.move.harm import assert_held, assert_rolled_back, killed, once, refused_start
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def home(tmp_path: Path) -> Stage:
    made = Stage(tmp_path, "vda", NVRAM)
    made.stop_guest()
    return made


def test_uefi_variables_are_copied_proven_and_redefined_with_the_disk(home: Stage) -> None:
    outcome = home.move()
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert [(one.target, one.verified, one.on) for one in outcome.disks] == [
        ("vda", True, GuestOn.DESTINATION),
        (NVRAM, True, GuestOn.DESTINATION),
    ]
    (redefined,) = home.record(outcome.move).all(Kind.INTENT, "redefine")
    assert redefined.data["sources"].keys() == {"vda", NVRAM}
    assert outcome.move is not None
    assert home.check(outcome.move) == "done"
    home.world.start_guest()
    home.world.pass_time(1.0)
    home.world.check_copies()


def test_uefi_variables_that_arrive_otherwise_take_the_move_back(home: Stage) -> None:
    def spoil() -> None:
        if (file := home.world.files.get("/pools/fast/web-nvram.qcow2")) is not None:
            file.blocks[2] += 1

    home.world.before["compare_local"] = spoil
    assert_rolled_back(home, home.move(), "copy-differs")


def test_uefi_variables_alone_are_locked_against_a_start_too(home: Stage) -> None:
    assert home.move(disks=(DiskRequest(target="vda"),)).state is State.DONE
    home.world.before["copy_image"] = lambda: refused_start(home)
    outcome = home.move()
    assert [one.target for one in outcome.disks] == [NVRAM]
    assert outcome.move is not None
    assert home.check(outcome.move) == "done"


@pytest.mark.parametrize("runs", [True, False])
def test_uefi_variables_that_a_guest_wrote_meanwhile_stay_its_own(home: Stage, runs: bool) -> None:
    move = killed(home, "compare_local", 2)
    home.world.start_guest()
    home.world.pass_time(1.0)
    home.off = not runs
    if not runs:
        home.world.stop_guest()
    assert_rolled_back(home, home.resume(move), "guest-started" if runs else "source-changed")


def test_a_source_of_uefi_variables_that_somebody_wrote_to_or_uses_is_kept(home: Stage) -> None:
    source = home.world.files["/pools/slow/web-nvram.qcow2"]
    home.world.before["end_export"] = once(lambda: source.write(0, 99))
    outcome = home.move()
    assert (outcome.state, home.sources()) == (State.DONE, {"vda": False, NVRAM: True})
    (finding,) = outcome.findings
    assert (finding.code, finding.target) == ("source-kept", NVRAM)


def test_uefi_variables_that_the_xml_names_are_named(home: Stage) -> None:
    """Nothing that is named is deleted."""
    found = FakeHypervisor(home.world).find_domain("web")
    assert "/pools/slow/web-nvram.qcow2" in Seen(domain=found, process=None, disks=()).named
    assert all("nvram" not in (disk.path or "") for disk in found.disks)


def test_uefi_variables_that_qemu_has_open_stay_when_a_person_takes_the_disks_back(home: Stage) -> None:
    world, source = home.world, home.world.files["/pools/slow/web-vda.qcow2"]
    world.before["set_sources"] = once(lambda: source.write(0, 99))
    outcome = home.move()
    assert_held(home, outcome, "unclear")
    world.start_guest()
    world.pass_time(1.0)
    assert outcome.move is not None
    fates = {fate.target: fate for fate in home.mover().decide(outcome.move, Way.BACK).fates}
    assert set(fates[NVRAM].keeps) == {"/pools/fast/web-nvram.qcow2", "/pools/slow/web-nvram.qcow2"}
    back = home.mover().rollback(outcome.move)
    assert (back.state, [one.target for one in back.disks]) == (State.DONE, ["vda"])
    assert world.drives["vda"].path.startswith("/pools/slow/")
    assert world.drives[NVRAM].path == world.drives[NVRAM].inactive == "/pools/fast/web-nvram.qcow2"
    assert home.sources()[NVRAM]
    world.check_copies()
