"""Several disks: one pivot fails after another went through. Each disk is good where it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HypervisorError
from svmove.model import DomainState, Versions
from svmove.move.phases import Phase
from svmove.outcomes import GuestOn, Outcome, State
from svmove.requests import DiskRequest, Verify
from tests.fake import Copying, CrashError, Faults
from tests.fake.hypervisor import FakeHypervisor
from tests.move.stage import Stage


def spoiled(stage: Stage, target: str = "vdb", times: int = 100) -> Callable[[], None]:
    """The pivot of that disk fails, so many times."""
    left = times

    def spoil() -> None:
        nonlocal left
        mirror = stage.world.drives[target].mirror
        if mirror is not None and left > 0:
            left -= 1
            mirror.pivot_error = "Operation not permitted"

    return spoil


def mixed(folder: Path, **asked: Any) -> tuple[Stage, Outcome, str]:
    """Held: vda is over, vdb does not go over."""
    stage = Stage(folder, "vda", "vdb")
    stage.world.before["request_pivot"] = spoiled(stage)
    outcome = stage.move(**asked)
    assert outcome.move is not None
    return stage, outcome, outcome.move


def test_the_rest_is_copied_again_and_goes_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    # Before each of two requests of the first round.
    stage.world.before["request_pivot"] = spoiled(stage, times=2)
    outcome = stage.move()
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True])
    assert stage.phases(outcome.move).count(Phase.COPYING) == 2
    assert [len(stage.facts(outcome.move, what)) for what in ("over", "verified", "deleted")] == [2, 2, 2]
    assert stage.check(outcome.move or "") == "done"


def test_a_request_that_is_refused_is_tried_again_with_the_mirror_that_still_runs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    requests = 0

    def refuse_the_second() -> None:
        nonlocal requests
        requests += 1
        if requests == 2:
            raise HypervisorError("not now")

    stage.world.before["request_pivot"] = refuse_the_second
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert all(disk.verified for disk in outcome.disks)


def test_without_verification_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["request_pivot"] = spoiled(stage, times=2)
    outcome = stage.move(verify=Verify.NONE)
    assert outcome.state is State.DONE
    assert stage.check(outcome.move or "") == "done"


def test_one_that_never_goes_over_is_held_and_told_disk_by_disk(tmp_path: Path) -> None:
    stage, outcome, move = mixed(tmp_path)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code, outcome.error.guest_on) == (State.HELD, "mixed", GuestOn.MIXED)
    assert [disk.on for disk in outcome.disks] == [GuestOn.DESTINATION, GuestOn.SOURCE]
    assert [disk.verified for disk in outcome.disks] == [True, False]
    assert "svmove accept" in (outcome.error.remedy or "")
    assert "svmove rollback" in (outcome.error.remedy or "")
    assert (stage.sources(), stage.world.state) == ({"vda": True, "vdb": True}, DomainState.RUNNING)
    assert stage.world.drives["vdb"].mirror is None
    assert stage.phases(move).count(Phase.CUTOVER) == stage.policy.move.cutover_attempts
    stage.world.check_copies()
    assert stage.check(move) == "held"


def test_it_goes_forward_when_the_cause_is_mended(tmp_path: Path) -> None:
    stage, _, move = mixed(tmp_path)
    stage.world.before = {}
    outcome = stage.mover().accept(move)
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True])
    assert stage.check(move) == "done"


def test_it_goes_back_and_nothing_that_was_written_since_is_lost(tmp_path: Path) -> None:
    stage, _, move = mixed(tmp_path)
    stage.world.before = {}
    stage.world.pass_time(1.0)
    outcome = stage.mover().rollback(move)
    assert (outcome.state, [disk.target for disk in outcome.disks]) == (State.DONE, ["vda"])
    assert stage.world.drives["vda"].path.startswith("/pools/slow/web-vda-")
    assert stage.world.drives["vdb"].path == "/pools/slow/web-vdb.qcow2"
    assert stage.destinations() == {"vda": False, "vdb": False}
    stage.world.check_copies()
    assert stage.world.marker is None


def test_a_way_back_that_could_be_silently_wrong_keeps_both_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward such a move is refused without a comparison; back there must be a way."""
    stage, _, move = mixed(tmp_path, verify=Verify.NONE)
    monkeypatch.setattr(FakeHypervisor, "versions", lambda _self: Versions(libvirt=10_000_000, qemu=9_002_000))
    assert stage.plan(verify=Verify.NONE, disks=(DiskRequest(target="vdb"),)).refused
    stage.world.before = {}
    outcome = stage.mover().rollback(move)
    assert (outcome.state, [disk.target for disk in outcome.disks]) == (State.DONE, ["vda"])
    assert stage.world.drives["vda"].path.startswith("/pools/slow/web-vda-")
    assert stage.destinations() == {"vda": True, "vdb": False}
    stage.world.check_copies()


def test_a_copy_that_fails_in_the_second_round_is_held_not_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["request_pivot"] = spoiled(stage, times=2)
    copies = 0

    def fail_the_third() -> None:
        nonlocal copies
        copies += 1
        if copies == 3:
            raise HypervisorError("no space left")

    stage.world.before["start_copy"] = fail_the_third
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.guest_on) == (State.HELD, GuestOn.MIXED)
    assert stage.sources() == {"vda": True, "vdb": True}
    stage.world.before = {}
    assert stage.mover().accept(outcome.move or "").state is State.DONE


def test_to_cancel_in_the_second_round_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["request_pivot"] = spoiled(stage, times=2)
    copies = 0

    def stop_at_the_third() -> None:
        nonlocal copies
        copies += 1
        if copies == 3:
            stage.cancel.set()

    stage.world.before["start_copy"] = stop_at_the_third
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "interrupted")
    stage.world.pass_time(1.0)
    assert stage.world.drives["vdb"].mirror is None


def test_somebody_elses_copy_of_the_rest_is_not_touched_when_the_move_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.before["request_pivot"] = spoiled(stage, times=2)
    foreign = Copying(path="/pools/slow/backup.qcow2", file=stage.world.make_file("/pools/slow/backup.qcow2"))
    copies = 0

    def be_quicker() -> None:
        nonlocal copies
        copies += 1
        if copies == 3:
            stage.world.drives["vdb"].mirror = foreign

    stage.world.before["start_copy"] = be_quicker
    assert stage.move().state is State.HELD
    stage.world.pass_time(1.0)
    assert stage.world.drives["vdb"].mirror is foreign
    assert not foreign.cancelled


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_crash_between_the_two_pivots_ends_well(tmp_path: Path, seconds: float) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    plan = stage.plan()
    requests = 0

    def die() -> None:
        nonlocal requests
        requests += 1
        if requests == 2:
            stage.world.faults = Faults(at=1)
            stage.world.faults.dead = True
            raise CrashError("request_pivot")

    stage.world.before["request_pivot"] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before = {}
    stage.world.pass_time(seconds)
    outcome = stage.resume(plan.move)
    # The guest had stood still since then, so what went over could still be frozen, and verified.
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True])
    assert stage.check(plan.move) == "done"
