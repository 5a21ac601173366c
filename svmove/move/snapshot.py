"""What is frozen is copied out of process, and proven before the switch; what the guest writes meanwhile is mirrored.

Frozen is a disk's own file, by the method `snapshot`, whose guest writes into an overlay from then on; and the chain
below a disk, by any method. The copy is the cheapest that both pools allow: shared extents on one file system, else a
copy of the data.
"""

from collections.abc import Callable

from svmove.errors import CopyError
from svmove.model import CopyWay, EventKind
from svmove.move import mirror
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
    for disk in move.pending:
        # The deepest first: what lies below must be there when it is looked through.
        for key, (layer, spec) in reversed(disk.frozen.items()):
            _bring(move, disk, key, layer, spec)
    _mirrors(move)
    return mirror.copy(move)


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
    move.note("brought", key)


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

    way = move.world.host.copy_image(
        layer.source,
        layer.source_format,
        spec.path,
        spec.format,
        begin=begin,
        bandwidth=lambda: move.terms().bandwidth,
        saved=heed,
    )
    move.note("layer", key, way=way, seconds=clock.monotonic() - began)
    if way is CopyWay.REFLINK:
        move.say(text=f"{spec.path} shares the extents of {layer.source}")


def _go_on(move: Move) -> None:
    """While something is copied or compared out of process. Raises."""
    move.may_go_on()
    while (event := move.events.next(0)) is not None:
        if event.kind is EventKind.STOPPED:
            raise mirror.stopped()


def _prove(move: Move, disk: DiskPlan, layer: Layer, spec: VolumeSpec) -> None:
    """Every byte, before the guest is switched. Raises CopyError for a difference."""
    size = disk.destination.capacity

    def watch(done: dict[str, int]) -> None:
        _go_on(move)
        move.say(disk.target, min(done.get(layer.source, 0), size), size, "compared")

    read = _reader(move, layer, spec)
    pieces = [
        Piece(key=layer.source, offset=offset, length=length, read=read)
        for offset, length in slices([(0, size)], move.world.policy.verify.slice)
    ]
    found = Comparison(move.world.policy.verify, watch).run(pieces).get(layer.source)
    if found:
        raise CopyError(
            f"the copy {spec.path} differs from {layer.source}: {len(found)} extents, first at {found[0].offset}",
            reason="copy-differs",
            remedy="look at both storages: one of them does not keep what is written",
        )


def _reader(move: Move, layer: Layer, spec: VolumeSpec) -> Read:
    def read(offset: int, length: int, advanced: Callable[[int], bool]) -> int | None:
        return move.world.host.compare_local(
            layer.source,
            layer.source_format,
            spec.path,
            spec.format,
            offset,
            length,
            advanced,
            layer=spec.backing is not None,
        )

    return read
