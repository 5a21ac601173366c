"""What is frozen is copied out of process, and proven before the switch; what the guest writes meanwhile is mirrored.

Frozen is a disk's own file, by the method `snapshot`, whose guest writes into an overlay from then on; and the chain
below a disk, by any method. The copy is the cheapest that both pools allow: shared extents on one file system, else a
copy of the data.
"""

from svmove.errors import CopyError
from svmove.events import EventKind
from svmove.move import mirror, room, storage
from svmove.move.bring import bring
from svmove.move.context import Move
from svmove.move.observe import Where
from svmove.move.phases import Phase


def freeze(move: Move) -> Phase:
    """From here on each disk that has an overlay writes into it: all at one instant."""
    seen = mirror.at_rest(move)
    storage.unless_too_slow(move)
    wanted = {}
    for disk in seen.of(move.pending).disks:
        overlay = disk.plan.overlay
        if overlay is None or disk.live == overlay.source.path:
            continue
        if disk.where is not Where.SOURCE:
            raise CopyError(f"the guest is not on its source any more: {disk}", reason="changed")
        made = move.noted("created", f"{disk.target}:from")
        if made is None or move.world.host.identity(overlay.source.path) != made.data["identity"]:
            raise mirror.replaced([overlay.source.path])
        if move.world.host.extents(overlay.source.path, overlay.source.format):
            # What it has would hide what the disk's file has now.
            raise CopyError(f"{overlay.source.path} has been written to already: {disk}", reason="unclear")
        wanted[disk.target] = overlay.source
    move.may_go_on()
    if wanted:
        move.intend("lay-over", overlays={target: spec.path for target, spec in wanted.items()})
        move.world.hypervisor.lay_over(move.plan.uuid, wanted)
    for disk in move.observe().of(move.pending).disks:
        if disk.plan.overlay is not None and not move.noted("laid-over", disk.target):
            if disk.live != disk.plan.overlay.source.path or disk.where is not Where.SOURCE:
                raise CopyError(f"it can't be told whether the disk was frozen: {disk}", reason="unclear")
            move.note("laid-over", disk.target)
    return Phase.COPYING


def copy(move: Move) -> Phase:
    _still_frozen(move)
    for disk in move.pending:
        # The deepest first: what lies below must be there when it is looked through.
        for key, (layer, spec) in reversed(disk.frozen.items()):
            bring(move, disk, key, (layer, spec), _go_on)
    _still_frozen(move)
    _mirrors(move)
    return mirror.copy(move)


def _still_frozen(move: Move) -> None:
    """Somebody may have merged an overlay meanwhile, and then what was copied is old. Raises CopyError."""
    seen = move.observe().of(move.pending)
    if seen.off:
        raise mirror.stopped()
    for disk in seen.disks:
        if disk.plan.overlay is not None and (disk.live != disk.plan.leaves or disk.where is not Where.SOURCE):
            raise CopyError(f"the disk is not on its overlay any more: {disk}", reason="changed")


def _mirrors(move: Move) -> None:
    """Begins those that were not begun since this phase was entered. One that was begun and is gone is no success."""
    entries = move.record.entries
    entered = max((n for n, e in enumerate(entries) if e.what == Phase.COPYING), default=0)
    begun = {e.target for e in entries[entered:] if e.what == "mirrored"}
    for disk in move.observe().of(move.pending).disks:
        if disk.target in begun:
            continue
        if not disk.copies:
            mirror.start_one(move, disk.plan, disk)
        move.note("mirrored", disk.target)


def _go_on(move: Move) -> None:
    """While something is copied or compared out of process. Raises."""
    move.may_go_on()
    room.enough(move)
    while (event := move.events.next(0)) is not None:
        room.heed(move, event)
        if event.kind is EventKind.STOPPED:
            raise mirror.stopped()
