"""What a move leaves of checkpoints, and the room of volumes that are to be fully allocated."""

from pathlib import Path

import pytest

from svmove.outcomes import State
from svmove.requests import Allocation, DiskRequest, Format
from tests.fake import CrashError, Faults, refuse
from tests.move.stage import Stage


def test_checkpoints_of_a_disk_that_became_raw_forget_it_and_keep_the_others(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.checkpoints = {"both": {"vda", "vdb"}, "one": {"vda"}, "other": {"vdb"}}

    outcome = stage.move(disks=(DiskRequest(target="vda", format=Format.RAW),))

    assert outcome.state is State.DONE
    assert stage.world.checkpoints == {"both": {"vdb"}, "other": {"vdb"}}
    assert [(one.code, one.text.partition(" has")[0]) for one in outcome.findings if one.code == "checkpoint-lost"] == [
        ("checkpoint-lost", "checkpoint both"),
        ("checkpoint-lost", "checkpoint one"),
    ]


def test_checkpoints_of_a_disk_that_stays_qcow2_stay(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.checkpoints = {"c1": {"vda"}}
    outcome = stage.move()
    assert stage.world.checkpoints == {"c1": {"vda"}}
    assert [one.code for one in outcome.findings] == ["checkpoints"]


def test_a_checkpoint_whose_bitmap_libvirt_lost_on_the_way_is_forgotten_and_told(tmp_path: Path) -> None:
    """libvirt merges bitmaps at the pivot and ignores errors."""
    stage = Stage(tmp_path)
    stage.world.checkpoints = {"c1": {"vda"}, "mine": {"vda"}}
    stage.world.lost = {"c1"}
    outcome = stage.move()
    assert stage.world.checkpoints == {"mine": {"vda"}}
    assert [one.code for one in outcome.findings] == ["checkpoints", "checkpoint-lost"]


def test_a_checkpoint_that_can_not_be_forgotten_is_told_and_the_move_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.checkpoints = {"c1": {"vda"}}
    stage.world.before["forget_checkpoint"] = refuse("no")
    outcome = stage.move(format=Format.RAW)
    assert (outcome.state, stage.sources()) == (State.DONE, {"vda": False})
    assert [one.code for one in outcome.findings] == ["checkpoints", "checkpoint-lost"]


def test_checkpoints_are_not_touched_before_the_commit(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.checkpoints = {"c1": {"vda"}}
    stage.world.before["request_pivot"] = refuse("no")
    outcome = stage.move(format=Format.RAW)
    assert (outcome.state, stage.world.checkpoints) == (State.ROLLED_BACK, {"c1": {"vda"}})


def test_a_crash_between_two_checkpoints_is_made_up_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.checkpoints = {"c1": {"vda"}, "c2": {"vda"}}
    plan = stage.plan(format=Format.RAW)

    def die() -> None:
        if len(stage.world.checkpoints) == 1:
            raise CrashError("forget_checkpoint")

    stage.world.before["forget_checkpoint"] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before.clear()
    stage.world.faults = Faults()
    assert stage.resume(plan.move).state is State.DONE
    assert stage.world.checkpoints == {}


@pytest.mark.parametrize(
    ("wanted", "roomy"), [(Allocation.FULL, True), (Allocation.KEEP, True), (Allocation.THIN, False)]
)
def test_a_volume_that_is_to_be_full_has_its_room_before_the_cutover(
    tmp_path: Path, wanted: Allocation, roomy: bool
) -> None:
    """The fake's images are fully allocated."""
    stage = Stage(tmp_path)
    at_the_pivot: list[bool] = []
    stage.world.before["request_pivot"] = lambda: at_the_pivot.append(bool(stage.world.allocated))
    outcome = stage.move(allocation=wanted)
    identity = stage.world.files["/pools/fast/web-vda.qcow2"].identity
    assert (outcome.state, at_the_pivot) == (State.DONE, [roomy])
    assert (identity in stage.world.allocated) == roomy


def test_a_file_system_that_can_not_allocate_ahead_is_told_of(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.allocates = False
    outcome = stage.move(allocation=Allocation.FULL)
    assert (outcome.state, [one.code for one in outcome.findings]) == (State.DONE, ["not-allocated"])


def test_too_little_room_takes_the_move_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan(allocation=Allocation.FULL)
    stage.world.before["allocate"] = lambda: setattr(stage.world, "free", 0)
    outcome = stage.run(plan)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.ROLLED_BACK, "no-space")
    assert stage.check(plan.move) == "rolled-back"
