"""A chain of a guest that is off becomes one file: what is copied, what is locked, what is deleted."""

from dataclasses import replace
from pathlib import Path

import pytest

from svmove.errors import HypervisorError
from svmove.journal import Kind
from svmove.model import Domain
from svmove.outcomes import State
from svmove.requests import DiskRequest, Verify
from tests.fake import BLOCK, FakeHypervisor
from tests.move.harm import assert_rolled_back, at_call, once
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")

TOP, BASE, COPY = "/pools/slow/web-vda.qcow2", "/pools/slow/base-vda.qcow2", "/pools/fast/web-vda.qcow2"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path, "vda", "vdb")
    made.world.lay_on_a_base("vda")
    made.stop_guest()
    return made


def test_one_file_has_what_the_guest_sees_and_the_whole_chain_goes(stage: Stage) -> None:
    truth = list(stage.world.drives["vda"].truth)
    outcome = stage.move(flatten=True)
    assert outcome.state is State.DONE
    assert stage.check(str(outcome.move)) == "done"
    assert (stage.world.files[COPY].blocks, stage.world.files[COPY].below) == (truth, None)
    assert not {TOP, BASE} & set(stage.world.files)
    assert [(disk.verify, disk.verified, disk.copied_bytes) for disk in outcome.disks] == 2 * [
        (Verify.BEFORE, True, 4 * BLOCK)
    ]
    assert [one["way"] for one in stage.facts(outcome.move, "layer")] == ["qemu-img", "qemu-img"]
    stage.world.start_guest()
    stage.world.pass_time(1.0)
    stage.world.check_copies()


def test_every_file_of_the_chain_is_locked_and_stamped(stage: Stage) -> None:
    seen: list[set[str]] = []
    stage.world.before["copy_image"] = lambda: seen.append(set(stage.world.locked))
    outcome = stage.move(flatten=True)
    files = ("vda", "vda:1", "vdb")
    assert len(seen[0]) == len(files)
    for key in files:
        assert stage.record(outcome.move).last(Kind.FACT, "stamp", key) is not None


def test_a_base_that_is_written_to_meanwhile_takes_the_move_back(stage: Stage) -> None:
    """By what knows nothing of QEMU's locks."""
    base, drive = stage.world.files[BASE], stage.world.drives["vda"]

    def write() -> None:
        base.write(1, 99)
        drive.truth[1] = 99

    stage.world.before["compare_local"] = once(write)
    assert_rolled_back(stage, stage.move(flatten=True), "copy-differs")
    stage.world.before["compare_local"] = at_call(2, write)  # of vdb: of vda nothing is read any more
    drive.truth[1] = 99
    assert_rolled_back(stage, stage.move(flatten=True), "source-changed")


def test_a_chain_that_was_changed_since_the_plan_is_not_read(stage: Stage) -> None:
    plan = stage.plan(flatten=True)
    drive = stage.world.drives["vda"]
    other = stage.world.make_file("/pools/slow/base-other.qcow2")
    other.below, drive.file.below = drive.file.below, other
    assert_rolled_back(stage, stage.run(plan), "changed")


def test_a_base_that_another_guest_has_is_kept(stage: Stage) -> None:
    stage.world.used_by[BASE] = "domain other"
    outcome = stage.move(flatten=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert BASE in stage.world.files
    assert TOP not in stage.world.files


def test_a_base_is_kept_with_the_file_that_lies_on_it(stage: Stage) -> None:
    top = stage.world.files[TOP]
    stage.world.before["end_export"] = once(lambda: top.write(0, 99))  # after the switch
    outcome = stage.move(flatten=True)
    assert outcome.state is State.DONE
    assert {TOP, BASE} <= set(stage.world.files)
    texts = {finding.target: finding.text for finding in outcome.findings}
    assert "written to it since" in texts["vda"]
    assert f"{TOP}, which is kept, uses it" in texts["vda:1"]


def test_two_disks_on_one_base_become_two_files_and_the_base_goes_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    world = stage.world
    world.lay_on_a_base("vda")
    world.lay_on_a_base("vdb")
    world.drives["vdb"].file.below = world.drives["vda"].file.below
    del world.files["/pools/slow/base-vdb.qcow2"]
    stage.stop_guest()
    outcome = stage.move(flatten=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert stage.check(str(outcome.move)) == "done"
    assert BASE not in world.files


def test_a_base_below_a_disk_that_stays_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    world = stage.world
    world.lay_on_a_base("vda")
    world.drives["vdb"].file.below, world.drives["vdb"].file.own = world.files[BASE], {0, 1, 2, 3}
    stage.stop_guest()
    outcome = stage.move(flatten=True, disks=(DiskRequest(target="vda"),))
    assert outcome.state is State.DONE
    assert BASE in world.files
    (finding,) = outcome.findings
    assert (finding.code, finding.target) == ("source-kept", "vda:1")


def test_the_guest_can_t_be_started_while_its_chain_is_read(stage: Stage) -> None:
    def start() -> None:
        with pytest.raises(HypervisorError, match="lock"):
            stage.world.start_guest()

    stage.world.before["copy_image"] = start
    outcome = stage.move(flatten=True)
    assert stage.check(str(outcome.move)) == "done"


def test_snapshots_of_libvirt_are_in_the_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeHypervisor.find_domain

    def snapped(hypervisor: FakeHypervisor, name: str) -> Domain:
        return replace(real(hypervisor, name), snapshots=("before",))

    monkeypatch.setattr(FakeHypervisor, "find_domain", snapped)
    outcome = stage.move(flatten=True)
    assert outcome.state is State.REFUSED
    assert {finding.code for finding in outcome.findings} == {"flatten-snapshots"}
    assert {TOP, BASE} <= set(stage.world.files)
