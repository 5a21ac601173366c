"""Brings an image that nobody writes to over to its destination, out of process, and proves that the copy is equal."""

from collections.abc import Callable

from svmove import location
from svmove.errors import CopyError, HostError
from svmove.journal import Kind
from svmove.model import CopyWay
from svmove.move import mirror, watch
from svmove.move.compare import Comparison, Piece, Read, slices
from svmove.move.context import Move
from svmove.move.definition import cut
from svmove.requests import Verify
from svmove.units import show_size
from svmove.volumes import DiskPlan, Layer, VolumeSpec

# Restarted where it was cut off: what comes after the last record is copied again (seconds).
_RECORD = 5.0
# QEMU reads whole sectors, and takes what is missing of a file's last one for zeros.
_SECTOR = 512

# Asked again and again while something is copied or compared. Raises.
GoOn = Callable[[Move], None]


def bring(move: Move, disk: DiskPlan, key: str, what: tuple[Layer, VolumeSpec], go_on: GoOn) -> None:
    """`key`: of the image in the journal. Gone on with where an svmove that died has left it."""
    host, (layer, spec) = move.world.host, what
    if watch.counts(move, move.noted("brought", key), layer.source):
        return
    compares = move.plan.verify is not Verify.NONE or layer.found
    if not layer.found:
        _ours(move, key, spec)
        copied = move.noted("layer", key)
        # What is not compared must have been copied under the same watch.
        if copied is None or not (compares or watch.counts(move, copied, layer.source)):
            _copy(move, disk, key, what, go_on)
    # A copy that is proven may have had the name of the file below it changed since.
    if compares and not watch.counts(move, move.noted("proven-layer", key), layer.source):
        move.intend("prove", key)
        shared = (layer.found or as_it_is(move, disk, key, what)) and host.shares_all(layer.source, spec.path)
        if not shared:
            prove(move, disk, key, what, go_on)
        move.note("proven-layer", key, by="shared extents" if shared else "comparison")
    if not layer.found and spec.backing is not None:
        host.rebase(spec.path, spec.format, spec.backing, spec.backing_format or "raw")
    move.note("brought", key, size=host.size(spec.path))


def as_it_is(move: Move, disk: DiskPlan, key: str, what: tuple[Layer, VolumeSpec]) -> bool:
    """Whether a file's bytes are copied, with all that its format keeps in them; else what the guest sees."""
    layer, spec = what
    files = location.is_file(layer.source) and location.is_file(spec.path)
    # One that was flattened has other files' blocks besides.
    if not files or layer.found or layer.flattened or layer.source_format != spec.format:
        return False
    # With the same key it stays encrypted as it is; with another one, nothing of it stays.
    if disk.keys.get(layer.source) != disk.keys.get(spec.path):
        return False
    return key != disk.target or layer.source not in cut(move, [layer.source])


def _ours(move: Move, key: str, spec: VolumeSpec) -> None:
    made = move.noted("created", key)
    if made is None or move.world.host.identity(spec.path) != made.data["identity"]:
        raise mirror.replaced([spec.path])


def _copy(move: Move, disk: DiskPlan, key: str, what: tuple[Layer, VolumeSpec], go_on: GoOn) -> None:
    clock, (layer, spec) = move.world.clock, what
    saved = move.noted("saved", key)
    compares = move.plan.verify is not Verify.NONE
    begin = int(saved.data["offset"]) if saved and (compares or watch.counts(move, saved, layer.source)) else 0
    missing = _missing(move, layer, spec)
    tried = move.intended("copy-layer", key) is not None
    move.intend("copy-layer", key, source=layer.source, destination=spec.path, begin=begin)
    recorded = began = clock.monotonic()
    known = begin

    def heed(offset: int, end: int) -> bool:
        nonlocal recorded, known
        go_on(move)
        move.say(disk.target, offset, end)
        if clock.monotonic() - recorded >= _RECORD and offset > known:
            recorded, known = clock.monotonic(), offset
            move.note("saved", key, offset=offset)
        return True

    try:
        way = move.world.host.copy_image(
            layer.source,
            layer.source_format,
            spec.path,
            spec.format,
            length=None if as_it_is(move, disk, key, what) else spec.capacity,
            begin=begin,
            bandwidth=lambda: move.terms().bandwidth,
            saved=heed,
            # What is taken had something in it, or may have, and so has a volume group's extent; what an attempt that
            # was cut off wrote may be old.
            blank=not (spec.taken or tried or location.is_device(spec.path)),
            flatten=layer.flattened,
            share=missing > 0,
        )
    except HostError as error:
        if missing > 0 and "can't share" in error.text:
            raise CopyError(
                f"{error.text}, and for its data {show_size(missing)} are missing in pool {spec.pool}",
                reason="no-space",
                remedy="free space in the destination pool, or choose another",
            ) from error
        if "No space left" not in error.text:
            raise
        remedy = "free space in the destination pool, or choose another"
        raise CopyError(f"the copy failed: {error.text}", reason="no-space", remedy=remedy) from error
    move.note("layer", key, way=way, seconds=clock.monotonic() - began)
    how = "shares the extents of" if way is CopyWay.REFLINK else f"was copied by {way} from"
    move.say(text=f"{spec.path} {how} {layer.source}")


def _missing(move: Move, layer: Layer, spec: VolumeSpec) -> int:
    """Bytes that a copy of the data would want of its file system, and that are not free; not above 0: it would fit.

    The plan counts little for a copy that shares all extents. One that can't, after all, must not fill the pool: its
    other guests would be paused. Half of the reserve is to stay; the other half may have been used since the plan.
    """
    host, reserve = move.world.host, move.world.policy.reserve(spec.pool)
    if not location.is_file(spec.path):
        return 0  # nobody tells what is free there; and no other guest's disk grows there
    return layer.copy_bytes - host.allocated(spec.path) + reserve // 2 - host.free(spec.path)


def prove(move: Move, disk: DiskPlan, key: str, what: tuple[Layer, VolumeSpec], go_on: GoOn) -> None:
    """Every byte, before the guest is switched. Raises CopyError for a difference."""
    (layer, spec), host = what, move.world.host
    # A file that was copied as it is has more than the guest sees: its internal snapshots, its bitmaps.
    files = as_it_is(move, disk, key, what)
    # A layer may be smaller than what lies over it: a template that a guest's disk was made larger than.
    length = host.size(layer.source) if files else spec.capacity
    size = -(-length // _SECTOR) * _SECTOR
    if files and (arrived := host.size(spec.path)) != length:
        raise _differs(what, f"{arrived} bytes instead of {length}")
    if layer.found and (other := host.image(spec.path, spec.format).virtual_bytes) != length:
        raise _differs(what, f"{other} bytes instead of {length}")

    def seen(done: dict[str, int]) -> None:
        go_on(move)
        move.say(disk.target, min(done.get(layer.source, 0), size), size, "compared")

    policy = move.world.policy.verify
    # Each reader opens both anew, which with LUKS takes two seconds of a CPU for each key.
    locked = not files and any(disk.keys.get(path) for path in (layer.source, spec.path))
    piece = max(policy.slice, -(-size // policy.workers)) if locked else policy.slice
    pieces = [
        Piece(key=layer.source, offset=offset, length=length, read=_reader(move, what, files=files))
        for offset, length in slices([(0, size)], piece)
    ]
    found = Comparison(policy, seen).run(pieces).get(layer.source)
    if found:
        raise _differs(what, f"{len(found)} extents, first at {found[0].offset}", not _watched(move, key, layer))


def _watched(move: Move, key: str, layer: Layer) -> bool:
    """Whether the guest can't have run since the copy was begun."""
    begun = next((one for one in move.record.all(Kind.INTENT, "copy-layer") if one.target == key), None)
    return layer.found or watch.counts(move, begun, layer.source)


def _differs(what: tuple[Layer, VolumeSpec], how: str, ran: bool = False) -> CopyError:
    layer, spec = what
    if ran:
        text = f"{layer.source} is not what was copied of it: {how}"
        return CopyError(text, reason="source-changed", remedy="somebody has written to it meanwhile: move again")
    remedy = "look at both storages: one of them does not keep what is written"
    if layer.found:
        remedy = "it is another file of that name; copy your own: --base copy, or rename one of them"
    return CopyError(f"{spec.path} differs from {layer.source}: {how}", reason="copy-differs", remedy=remedy)


def _reader(move: Move, what: tuple[Layer, VolumeSpec], *, files: bool) -> Read:
    layer, spec = what

    def read(offset: int, length: int, advanced: Callable[[int], bool]) -> int | None:
        return move.world.host.compare_local(
            layer.source,
            layer.source_format,
            spec.path,
            spec.format,
            offset,
            length,
            advanced,
            # One that was found may be made in another way, and lie on another file.
            layer=spec.backing is not None and not layer.found,
            files=files,
        )

    return read
