"""A whole move, through the real loop and the real journal."""

from pathlib import Path

import pytest

from svmove.model import DomainState
from svmove.outcomes import State
from svmove.policy import Policy, VerifyPolicy
from svmove.requests import DiskRequest, Verify
from tests.builders import request
from tests.fake import BLOCK, FakeClock, World
from tests.move.stage import Stage


def test_a_move_of_two_disks_ends_done_with_every_byte_verified(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert outcome.error is None
    assert outcome.findings == ()
    assert [(disk.target, disk.verified, disk.mismatches) for disk in outcome.disks] == [
        ("vda", True, ()),
        ("vdb", True, ()),
    ]
    assert [disk.copied_bytes for disk in outcome.disks] == [4 * BLOCK, 4 * BLOCK]
    assert outcome.move is not None
    assert stage.check(outcome.move) == "done"


def test_a_move_walks_through_its_phases_in_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    expected = ["admitted", "prepared", "copying", "ready", "cutover", "verifying", "committed", "done"]
    assert expected == stage.phases(stage.move().move)


def test_the_guest_stands_still_once_and_shortly(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    outcome = stage.move(max_pause=1.0)
    assert len(stage.world.pauses) == 1
    assert 0 < stage.world.pauses[0] <= 1.0
    assert outcome.seconds.pause == pytest.approx(stage.world.pauses[0])


def test_the_seconds_told_are_those_of_the_clock(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move()
    assert outcome.seconds.total == pytest.approx(stage.world.time, abs=1e-3)
    assert 0 < outcome.seconds.copy < outcome.seconds.total


def test_a_guest_that_a_person_paused_stays_paused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.state = DomainState.PAUSED
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert stage.world.state is DomainState.PAUSED
    assert stage.world.suspended == []
    assert outcome.seconds.pause == 0.0


def test_only_the_disk_that_was_named_is_moved(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    outcome = stage.move(disks=(DiskRequest(target="vdb"),))
    assert outcome.state is State.DONE
    assert {target: drive.path for target, drive in stage.world.drives.items()} == {
        "vda": "/pools/slow/web-vda.qcow2",
        "vdb": "/pools/fast/web-vdb.qcow2",
    }
    assert stage.sources() == {"vda": True, "vdb": False}


def test_a_second_move_finds_all_disks_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move()
    outcome = stage.move()
    assert (outcome.state, outcome.move, outcome.disks) == (State.ALREADY_THERE, None, ())


def test_the_source_is_kept_when_that_is_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move(keep_source=True)
    assert outcome.state is State.DONE
    assert outcome.findings == ()
    assert stage.sources() == {"vda": True}


def test_without_verification_nothing_is_compared_nor_called_verified(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move(verify=Verify.NONE)
    assert outcome.state is State.DONE
    assert not outcome.disks[0].verified
    assert {"compare", "begin_export", "make_scratch"}.isdisjoint(stage.world.faults.calls)
    assert stage.sources() == {"vda": False}


def test_slices_that_are_smaller_than_a_disk_cover_all_of_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(verify=VerifyPolicy(workers=2, slice=BLOCK)))
    outcome = stage.move()
    assert outcome.disks[0].verified
    assert stage.world.faults.calls.count("compare") == 4


def test_a_measured_rate_is_there_for_the_next_estimate(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move()
    rates = stage.journal.past_rates()
    assert set(rates) == {("slow", "fast")}
    assert rates["slow", "fast"] > 0


def test_a_capped_copy_is_no_measure_of_the_pools(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move(bandwidth=100 * BLOCK)
    assert outcome.state is State.DONE
    assert stage.journal.past_rates() == {}


def test_the_listener_hears_of_every_phase_and_of_the_copy(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move()
    assert {"planned", "copying", "cutover", "verifying", "done"} <= {told.phase for told in stage.told}
    assert any(told.target == "vda" and 0 < told.done <= told.end for told in stage.told)


def test_a_listener_whose_terminal_is_gone_does_not_end_the_move(tmp_path: Path) -> None:
    def gone(_told: object) -> None:
        raise BrokenPipeError

    stage = Stage(tmp_path)
    assert stage.mover().move(request(), listener=gone).state is State.DONE


def test_the_fake_clock_moves_the_world() -> None:
    world = World()
    FakeClock(world).sleep(2.0)
    assert FakeClock(world).monotonic() == 2.0
