"""Volume groups: the volumes that are made there are devices, and full of what lay in their extents before."""

from pathlib import Path

import pytest

from svmove.model import Pool, Volume
from svmove.outcomes import Outcome, State
from svmove.requests import DiskRequest, Verify
from svmove.units import GiB
from svmove.volumes import VolumeSpec
from tests.fake import CrashError, FakeHypervisor, Faults
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")

MADE = "/dev/group/web"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path)
    drive = made.world.drives["vda"]
    drive.file.blocks[1] = drive.truth[1] = 0  # a hole
    made.world.pools["group"] = Pool(name="group", type="logical", active=True, path="/dev/group", available=50 * GiB)
    return made


def goes(stage: Stage, *, verify: Verify | None = None) -> Outcome:
    return stage.move(to=None, disks=(DiskRequest(target="vda", pool="group", name="web"),), verify=verify)


@pytest.mark.parametrize("off", [False, True], ids=["running", "off"])
def test_nothing_old_is_in_a_volume_that_was_made(stage: Stage, off: bool) -> None:
    source = stage.world.drives["vda"].path
    if off:
        stage.stop_guest()
    outcome = goes(stage)
    assert outcome.state is State.DONE, outcome.error
    assert 99 not in stage.world.files[MADE].blocks
    assert source not in stage.world.files
    stage.world.check_copies()


def test_nor_where_nothing_is_compared(stage: Stage) -> None:
    stage.stop_guest()
    outcome = goes(stage, verify=Verify.NONE)
    assert outcome.state is State.DONE, outcome.error
    assert 99 not in stage.world.files[MADE].blocks


def test_a_volume_in_whose_making_svmove_died_is_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the rest of its last extent was zeroed nobody knows."""
    create = FakeHypervisor.create_volume

    def dies(self: FakeHypervisor, spec: VolumeSpec) -> Volume:
        create(self, spec)
        self.world.faults.dead = True
        raise CrashError("create_volume")

    with monkeypatch.context() as patched:
        patched.setattr(FakeHypervisor, "create_volume", dies)
        with pytest.raises(CrashError):
            goes(stage)
    stage.world.faults = Faults()
    assert MADE in stage.world.files
    (move,) = stage.mover().open_moves()
    outcome = stage.resume(move)
    assert outcome.state is State.ROLLED_BACK
    assert outcome.error is not None
    assert outcome.error.code == "half-made"
    assert MADE not in stage.world.files
    stage.world.check_copies()
