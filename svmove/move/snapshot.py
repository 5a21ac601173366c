"""What is frozen is copied out of process, and proven before the switch; what the guest writes meanwhile is mirrored.

Frozen is a disk's own file, by the method `snapshot`, whose guest writes into an overlay from then on; and the chain
below a disk, by any method. The copy is the cheapest that both pools allow: shared extents on one file system, else a
copy of the data.
"""

from collections.abc import Callable

from svmove.errors import CopyError, HostError
from svmove.model import CopyWay, EventKind
from svmove.move import mirror, room
from svmove.move.compare import Comparison, Piece, Read, slices
from svmove.move.context import Move
from svmove.move.observe import Where
from svmove.move.phases import Phase
from svmove.requests import Verify
from svmove.volumes import DiskPlan, Layer, VolumeSpec

# Restarted where it was cut off: what comes after the last record is copied again (seconds).
_RECORD = 5.0


def freeze(move: Move) -> Phase:
    """From here on each disk that has an overlay writes into it: all at one instant."""
    seen = mirror.at_rest(move)
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
            _bring(move, disk, key, layer, spec)
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


def _bring(move: Move, disk: DiskPlan, key: str, layer: Layer, spec: VolumeSpec) -> None:
    """Copies a frozen file, and proves that the copy is equal."""
    host = move.world.host
    if move.noted("brought", key):
        return
    if not layer.found:
        _ours(move, key, spec)
        if move.noted("layer", key) is None:
            _copy(move, disk, key, layer, spec)
    move.intend("prove", key)
    if move.plan.verify is not Verify.NONE or layer.found:
        shared = host.shares_all(layer.source, spec.path)
        if not shared:
            _prove(move, disk, layer, spec)
        move.note("proven-layer", key, by="shared extents" if shared else "comparison")
    if not layer.found and spec.backing is not None:
        host.rebase(spec.path, spec.format, spec.backing, spec.backing_format or "raw")
    move.note("brought", key, size=host.size(spec.path))


def _ours(move: Move, key: str, spec: VolumeSpec) -> None:
    made = move.noted("created", key)
    if made is None or move.world.host.identity(spec.path) != made.data["identity"]:
        raise mirror.replaced([spec.path])


def _copy(move: Move, disk: DiskPlan, key: str, layer: Layer, spec: VolumeSpec) -> None:
    clock = move.world.clock
    saved = move.noted("saved", key)
    begin = int(saved.data["offset"]) if saved else 0
    move.intend("copy-layer", key, source=layer.source, destination=spec.path, begin=begin)
    recorded = began = clock.monotonic()

    def heed(offset: int, end: int) -> bool:
        nonlocal recorded
        _go_on(move)
        move.say(disk.target, offset, end)
        if clock.monotonic() - recorded >= _RECORD:
            recorded = clock.monotonic()
            move.note("saved", key, offset=offset)
        return True

    try:
        way = move.world.host.copy_image(
            layer.source,
            layer.source_format,
            spec.path,
            spec.format,
            begin=begin,
            bandwidth=lambda: move.terms().bandwidth,
            saved=heed,
        )
    except HostError as error:
        if "No space left" not in error.text:
            raise
        raise CopyError(
            error.text, reason="no-space", remedy="free space in the destination pool, or choose another"
        ) from error
    move.note("layer", key, way=way, seconds=clock.monotonic() - began)
    if way is CopyWay.REFLINK:
        move.say(text=f"{spec.path} shares the extents of {layer.source}")


def _go_on(move: Move) -> None:
    """While something is copied or compared out of process. Raises."""
    move.may_go_on()
    room.enough(move)
    while (event := move.events.next(0)) is not None:
        room.heed(move, event)
        if event.kind is EventKind.STOPPED:
            raise mirror.stopped()


def _prove(move: Move, disk: DiskPlan, layer: Layer, spec: VolumeSpec) -> None:
    """Every byte, before the guest is switched. Raises CopyError for a difference."""
    # A layer may be smaller than what lies over it: a template that a guest's disk was made larger than.
    size = spec.capacity
    host = move.world.host
    # By itself, when it is a copy of the file; one that was found may be made in another way, and lie on another file.
    alone = spec.backing is not None and not layer.found
    if layer.found and (other := host.image(spec.path, spec.format).virtual_bytes) != size:
        raise _differs(layer, spec, f"{other} bytes instead of {size}")
    if alone and host.extents(layer.source, layer.source_format) != host.extents(spec.path, spec.format):
        raise _differs(layer, spec, "not the same clusters")

    def watch(done: dict[str, int]) -> None:
        _go_on(move)
        move.say(disk.target, min(done.get(layer.source, 0), size), size, "compared")

    read = _reader(move, layer, spec, alone=alone)
    pieces = [
        Piece(key=layer.source, offset=offset, length=length, read=read)
        for offset, length in slices([(0, size)], move.world.policy.verify.slice)
    ]
    found = Comparison(move.world.policy.verify, watch).run(pieces).get(layer.source)
    if found:
        raise _differs(layer, spec, f"{len(found)} extents, first at {found[0].offset}")


def _differs(layer: Layer, spec: VolumeSpec, how: str) -> CopyError:
    remedy = "look at both storages: one of them does not keep what is written"
    if layer.found:
        remedy = "it is another file of that name; copy your own: --base copy, or rename one of them"
    return CopyError(f"{spec.path} differs from {layer.source}: {how}", reason="copy-differs", remedy=remedy)


def _reader(move: Move, layer: Layer, spec: VolumeSpec, *, alone: bool) -> Read:
    def read(offset: int, length: int, advanced: Callable[[int], bool]) -> int | None:
        return move.world.host.compare_local(
            layer.source,
            layer.source_format,
            spec.path,
            spec.format,
            offset,
            length,
            advanced,
            layer=alone,
        )

    return read
