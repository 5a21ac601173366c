"""Method `offline`, where the guest is off: what is refused, what a start meanwhile does, what is deleted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HypervisorError
from svmove.journal import Ask, Kind
from svmove.model import CopyWay, Domain, DomainState
from svmove.outcomes import State
from svmove.requests import Allocation, Method, Verify
from svmove.units import MiB
from tests.builders import request
from tests.fake import BLOCK, CrashError, FakeHost, FakeHypervisor
from tests.move.harm import assert_held, assert_rolled_back, at_call, killed, once, refused_start
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path, "vda", "vdb")
    made.stop_guest()
    return made


def test_all_disks_are_copied_proven_and_then_redefined_at_once(stage: Stage) -> None:
    outcome = stage.move()
    assert (outcome.state, outcome.method, outcome.seconds.pause) == (State.DONE, Method.OFFLINE, 0.0)
    assert [(disk.verify, disk.verified, disk.copied_bytes) for disk in outcome.disks] == 2 * [
        (Verify.BEFORE, True, 4 * BLOCK)
    ]
    assert stage.phases(outcome.move) == ["admitted", "prepared", "copying", "ready", "cutover", "committed", "done"]
    assert [fact["by"] for fact in stage.facts(outcome.move, "proven-layer")] == ["comparison"] * 2
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"
    stage.world.start_guest()
    stage.world.pass_time(1.0)
    stage.world.check_copies()


def test_shared_extents_are_the_proof_where_they_are(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(host: FakeHost, source: str, _format: str, destination: str, *_: Any, **__: Any) -> CopyWay:
        host.world.files[destination].blocks = list(host.world.files[source].blocks)
        return CopyWay.REFLINK

    monkeypatch.setattr(FakeHost, "copy_image", copied)
    monkeypatch.setattr(FakeHost, "shares_all", lambda *_: True)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert [fact["by"] for fact in stage.facts(outcome.move, "proven-layer")] == ["shared extents"] * 2
    assert all(disk.verified for disk in outcome.disks)


def test_cutover_means_before_and_none_means_none(stage: Stage) -> None:
    assert stage.plan(verify=Verify.CUTOVER).verify is Verify.BEFORE
    outcome = stage.move(verify=Verify.NONE)
    assert outcome.state is State.DONE
    assert not any(disk.verified for disk in outcome.disks)
    assert stage.facts(outcome.move, "proven-layer") == []
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"


@pytest.mark.parametrize("call", ["copy_image", "compare_local", "set_sources"])
def test_the_guest_can_t_be_started_before_its_xml_names_the_copies(stage: Stage, call: str) -> None:
    stage.world.before[call] = lambda: refused_start(stage)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"


def test_a_guest_that_starts_right_after_it_was_redefined_runs_on_its_copies(stage: Stage) -> None:
    stage.world.before["holders"] = once(stage.world.start_guest)  # before its source is deleted
    stage.off = False
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"


def test_a_start_that_is_under_way_while_the_xml_is_written_is_waited_for(stage: Stage) -> None:
    world = stage.world

    def begin() -> None:
        world.state = DomainState.PAUSED  # QEMU has not got to the lock
        world.before["process"] = at_call(3, end)

    def end() -> None:
        world.state = DomainState.OFF

    world.before["set_sources"] = once(begin)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"


def test_an_xml_that_can_t_be_written_takes_the_move_back(stage: Stage) -> None:
    def refuse() -> None:
        raise HypervisorError("unsupported configuration")

    stage.world.before["set_sources"] = refuse
    assert_rolled_back(stage, stage.move(), "redefine-failed")


def test_a_copy_that_differs_takes_the_move_back(stage: Stage) -> None:
    def spoil() -> None:
        stage.world.files["/pools/fast/web-vdb.qcow2"].blocks[1] += 1

    stage.world.before["compare_local"] = spoil
    assert_rolled_back(stage, stage.move(), "copy-differs")


def test_a_destination_that_was_replaced_is_not_switched_to(stage: Stage) -> None:
    path = "/pools/fast/web-vda.qcow2"

    def replace_it() -> None:
        stage.world.make_file(path)

    calls = stage.world.before
    calls["compare_local"] = once(replace_it)
    outcome = stage.move()
    assert outcome.state is State.ROLLED_BACK
    assert outcome.error is not None
    assert outcome.error.code in ("copy-differs", "destination-replaced")
    assert any("is not the file that svmove made" in finding.text for finding in outcome.findings)


def test_a_source_that_is_written_to_in_spite_of_the_lock_takes_the_move_back(stage: Stage) -> None:
    """A loop device, for one, knows nothing of QEMU's locks."""
    drive = stage.world.drives["vda"]

    def write() -> None:
        drive.file.write(0, 99)
        drive.truth[0] = 99

    stage.world.before["compare_local"] = at_call(2, write)
    assert_rolled_back(stage, stage.move(), "source-changed")


@pytest.mark.parametrize("phase", ["copying", "cutover"])
def test_a_cancelled_move_leaves_nothing_behind(stage: Stage, phase: str) -> None:
    def cancel() -> None:
        (move,) = stage.mover().open_moves()
        stage.journal.requests.add(move, 1.0, Ask.CANCEL)

    stage.world.before["copy_image" if phase == "copying" else "compare_local"] = once(cancel)
    assert_rolled_back(stage, stage.move(), "interrupted")


def test_a_copy_that_was_cut_off_is_gone_on_with_where_it_was_saved(stage: Stage) -> None:
    def saved_then_dead() -> None:
        if stage.world.time > 7.0:  # of four seconds a disk
            stage.world.faults.dead = True

    stage.world.before["write"] = saved_then_dead
    with pytest.raises(CrashError):
        stage.move()
    stage.world.before.clear()
    (move,) = stage.journal.open_moves(FakeHypervisor.uri)
    outcome = stage.resume(move)
    assert outcome.state is State.DONE
    assert stage.check(move) == "done"


@pytest.mark.parametrize("call", ["compare_local", "set_sources"])
@pytest.mark.parametrize("runs", [True, False])
def test_a_guest_that_ran_while_nobody_held_the_lock_stays_on_its_sources(stage: Stage, call: str, runs: bool) -> None:
    move = killed(stage, call)
    stage.world.start_guest()
    stage.world.pass_time(1.0)
    stage.off = not runs
    if not runs:
        stage.world.stop_guest()
    assert_rolled_back(stage, stage.resume(move), "guest-started" if runs else "source-changed")


def test_a_start_that_still_had_the_old_xml_when_svmove_was_killed_is_taken_back(stage: Stage) -> None:
    """libvirt had begun it before the XML was written, and QEMU came to the lock after svmove's death."""
    move = killed(stage, "set_sources")
    world = stage.world
    world.start_guest()
    for target, drive in world.drives.items():
        drive.inactive = f"/pools/fast/web-{target}.qcow2"
    world.pass_time(1.0)
    stage.off = False
    assert_rolled_back(stage, stage.resume(move), "guest-started")


def test_nothing_is_deleted_when_a_source_is_newer_than_the_copy_that_the_xml_names(stage: Stage) -> None:
    move = killed(stage, "set_sources")
    world = stage.world
    world.start_guest()
    world.pass_time(1.0)
    for target, drive in world.drives.items():
        drive.inactive = f"/pools/fast/web-{target}.qcow2"
    world.stop_guest()
    for target, drive in world.drives.items():  # what it has written is in its sources
        drive.file = world.files[f"/pools/slow/web-{target}.qcow2"]
    assert_held(stage, stage.resume(move), "unclear")
    # A person lets the XML name the sources again, and says "back".
    for target, drive in world.drives.items():
        drive.inactive = drive.path = f"/pools/slow/web-{target}.qcow2"
    outcome = stage.mover().rollback(move)
    assert (outcome.state, stage.check(move)) == (State.ROLLED_BACK, "rolled-back")
    assert all(stage.destinations().values())
    assert {finding.code for finding in outcome.findings} == {"destination-kept"}


def test_a_source_that_was_written_to_after_the_switch_is_kept(stage: Stage) -> None:
    source = stage.world.files["/pools/slow/web-vda.qcow2"]
    stage.world.before["end_export"] = once(lambda: source.write(0, 99))
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert stage.sources() == {"vda": True, "vdb": False}
    (finding,) = outcome.findings
    assert "written to it since" in finding.text


def test_a_guest_of_another_method_that_is_off_keeps_its_sources(tmp_path: Path) -> None:
    """There it can't be told which copy it ran on last."""
    stage = Stage(tmp_path)
    stage.world.before["end_export"] = stage.stop_guest
    outcome = stage.move(method=Method.MIRROR)
    assert stage.sources() == {"vda": True}
    assert any("is off" in finding.text for finding in outcome.findings)


def test_a_domain_that_was_undefined_meanwhile_takes_the_move_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FakeHypervisor.domain
    gone: list[bool] = []

    def domain(hypervisor: FakeHypervisor, uuid: str) -> Domain:
        found = real(hypervisor, uuid)
        return replace(found, state=DomainState.GONE, inactive=(), persistent=False) if gone else found

    monkeypatch.setattr(FakeHypervisor, "domain", domain)
    stage.world.before["compare_local"] = lambda: gone.append(True)
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "changed")
    assert not any(stage.destinations().values())


def test_a_saved_state_that_was_made_meanwhile_takes_the_move_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = killed(stage, "set_sources")
    real = FakeHypervisor.domain
    monkeypatch.setattr(
        FakeHypervisor, "domain", lambda hypervisor, uuid: replace(real(hypervisor, uuid), managed_save=True)
    )
    assert_rolled_back(stage, stage.resume(move), "managed-save")


def test_no_guard_watches_over_a_guest_that_is_off(stage: Stage) -> None:
    watched: list[str | None] = []
    mover = stage.mover()
    mover.guard = watched.append
    assert mover.move(request()).state is State.DONE
    assert set(watched) == {None}


def test_its_journal_tells_what_was_meant_before_it_was_done(stage: Stage) -> None:
    move = killed(stage, "set_sources")
    record = stage.record(move)
    assert record.last(Kind.INTENT, "redefine") is not None
    assert record.last(Kind.FACT, "over", "vda") is None


# Room at the destination


def test_a_copy_that_can_not_share_after_all_and_has_no_room_for_its_data_is_not_begun(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHost, "offload", lambda *_: CopyWay.REFLINK)
    stage.world.free = 128 * MiB  # half of the reserve, and nothing for the data
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "no-space")
    assert outcome.error is not None
    assert "256.0 KiB are missing in pool fast" in outcome.error.text
    assert stage.world.time == 0.0, "something was copied"


def test_a_copy_that_shares_its_extents_needs_no_room_for_its_data(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def shared(host: FakeHost, source: str, _format: str, destination: str, *_: Any, share: bool, **__: Any) -> CopyWay:
        asked.append(share)
        host.world.files[destination].blocks = list(host.world.files[source].blocks)
        return CopyWay.REFLINK

    monkeypatch.setattr(FakeHost, "copy_image", shared)
    monkeypatch.setattr(FakeHost, "shares_all", lambda *_: True)
    stage.world.free = 0
    assert stage.move(allocation=Allocation.THIN).state is State.DONE
    assert asked == [True, True]
    stage.world.free = 129 * MiB
    assert stage.move(to="slow").state is State.DONE
    assert asked[2:] == [False, False]


def test_a_volume_whose_holes_have_no_room_is_not_allocated_until_the_pool_is_full(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shared(host: FakeHost, _source: str, _format: str, destination: str, *_: Any, **__: Any) -> CopyWay:
        host.world.files[destination].blocks = [1, 0, 0, 0]  # the others were never written
        return CopyWay.REFLINK

    monkeypatch.setattr(FakeHost, "copy_image", shared)
    monkeypatch.setattr(FakeHost, "shares_all", lambda *_: True)
    stage.world.free = 128 * MiB + 3 * BLOCK - 1
    assert_rolled_back(stage, stage.move(allocation=Allocation.FULL), "no-space")
    assert "allocate" not in stage.world.faults.calls
