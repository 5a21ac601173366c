"""What the host's page cache holds for a disk is written before the guest is suspended."""

from pathlib import Path

import pytest

from svmove.outcomes import State
from svmove.requests import DiskRequest
from tests.move.harm import assert_rolled_back
from tests.move.stage import Stage

SOURCE = "/pools/slow/web-vda.qcow2"


@pytest.mark.parametrize("seconds", [0.0, 7.0])
def test_it_is_written_while_the_guest_runs(tmp_path: Path, seconds: float) -> None:
    stage = Stage(tmp_path)
    stage.world.unwritten[SOURCE] = seconds
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert max(stage.world.pauses) < 0.5


def test_that_of_a_disk_which_stays_is_written_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.unwritten["/pools/slow/web-vdb.qcow2"] = 7.0
    outcome = stage.move(disks=(DiskRequest(target="vda", pool="fast"),))
    assert outcome.state is State.DONE
    assert max(stage.world.pauses) < 0.5


def test_what_is_never_written_in_time_is_given_up_without_suspending_the_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.unwritten[SOURCE] = 1e6
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "pause-exceeded")
    assert outcome.error is not None
    assert SOURCE in outcome.error.text
    assert stage.world.pauses == []
