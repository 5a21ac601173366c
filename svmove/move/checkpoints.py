"""Checkpoints after a move: what their bitmaps did not survive is taken out of libvirt's metadata.

libvirt merges dirty bitmaps into the destination at the pivot and ignores errors; raw can't have any. A checkpoint
of which a bitmap is gone can't be deleted any more, and makes each incremental backup since it fail. So it is looked,
and the checkpoint forgets the disk; the bitmaps of other disks, moved or not, stay.
"""

from collections.abc import Mapping

from svmove.errors import JournalError, SvmoveError, UnreachableError
from svmove.model import DomainState
from svmove.move.context import Move
from svmove.move.observe import Seen


def forget_lost(move: Move, seen: Seen) -> None:
    """After the commit. One that can't be forgotten is told, and no failure: the guest is where it should be."""
    if not seen.domain.checkpoints or move.noted("adopted"):
        return
    try:
        for name, targets in _lost(move, seen).items():
            move.intend("forget-checkpoint", None, name=name, targets=targets)
            move.world.hypervisor.forget_checkpoint(move.plan.uuid, name, targets)
            text = f"checkpoint {name} has lost {', '.join(targets)}: the next backup of it must be a full one"
            move.note("checkpoint-lost", name, text=text)
    except (UnreachableError, JournalError):
        raise
    except SvmoveError as error:
        move.note("checkpoint-lost", "", text=f"checkpoints may name bitmaps that are gone: {error.text}")


def _lost(move: Move, seen: Seen) -> Mapping[str, list[str]]:
    """Of the disks that were moved: somebody else's broken checkpoints are not our business."""
    moved = {disk.target for disk in move.plan.disks}
    raw = {disk.target for disk in move.plan.disks if disk.destination.format == "raw"}
    gone = move.world.hypervisor.lost_bitmaps(move.plan.uuid) if seen.domain.state is not DomainState.GONE else {}
    found = {
        point.name: sorted(set(point.targets) & (raw | (moved & set(gone.get(point.name, ())))))
        for point in seen.domain.checkpoints
    }
    return {name: targets for name, targets in found.items() if targets}
