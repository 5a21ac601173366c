"""Brings a file that nobody writes to over to its destination, out of process, and proves that the copy is equal."""

from collections.abc import Callable

from svmove.errors import CopyError, HostError
from svmove.model import CopyWay
from svmove.move import mirror
from svmove.move.compare import Comparison, Piece, Read, slices
from svmove.move.context import Move
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
    """`key`: of the file in the journal. Gone on with where an svmove that died has left it."""
    host, (layer, spec) = move.world.host, what
    if move.noted("brought", key):
        return
    if not layer.found:
        _ours(move, key, spec)
        if move.noted("layer", key) is None:
            _copy(move, disk, key, what, go_on)
    # A copy that is proven may have had the name of the file below it changed since.
    if (move.plan.verify is not Verify.NONE or layer.found) and not move.noted("proven-layer", key):
        move.intend("prove", key)
        # One that was flattened has other files' blocks besides.
        shared = not layer.flattened and host.shares_all(layer.source, spec.path)
        if not shared:
            _prove(move, disk, what, go_on)
        move.note("proven-layer", key, by="shared extents" if shared else "comparison")
    if not layer.found and spec.backing is not None:
        host.rebase(spec.path, spec.format, spec.backing, spec.backing_format or "raw")
    move.note("brought", key, size=host.size(spec.path))


def _ours(move: Move, key: str, spec: VolumeSpec) -> None:
    made = move.noted("created", key)
    if made is None or move.world.host.identity(spec.path) != made.data["identity"]:
        raise mirror.replaced([spec.path])


def _copy(move: Move, disk: DiskPlan, key: str, what: tuple[Layer, VolumeSpec], go_on: GoOn) -> None:
    clock, (layer, spec) = move.world.clock, what
    saved = move.noted("saved", key)
    begin = int(saved.data["offset"]) if saved else 0
    missing = _missing(move, layer, spec)
    move.intend("copy-layer", key, source=layer.source, destination=spec.path, begin=begin)
    recorded = began = clock.monotonic()

    def heed(offset: int, end: int) -> bool:
        nonlocal recorded
        go_on(move)
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
    return layer.copy_bytes - host.allocated(spec.path) + reserve // 2 - host.free(spec.path)


def _prove(move: Move, disk: DiskPlan, what: tuple[Layer, VolumeSpec], go_on: GoOn) -> None:
    """Every byte, before the guest is switched. Raises CopyError for a difference."""
    (layer, spec), host = what, move.world.host
    # A file that was copied as it is has more than the guest sees: its internal snapshots, its bitmaps.
    as_it_is = layer.source_format == spec.format and not (layer.found or layer.flattened)
    # A layer may be smaller than what lies over it: a template that a guest's disk was made larger than.
    length = host.size(layer.source) if as_it_is else spec.capacity
    size = -(-length // _SECTOR) * _SECTOR
    if as_it_is and (arrived := host.size(spec.path)) != length:
        raise _differs(what, f"{arrived} bytes instead of {length}")
    if layer.found and (other := host.image(spec.path, spec.format).virtual_bytes) != length:
        raise _differs(what, f"{other} bytes instead of {length}")

    def watch(done: dict[str, int]) -> None:
        go_on(move)
        move.say(disk.target, min(done.get(layer.source, 0), size), size, "compared")

    pieces = [
        Piece(key=layer.source, offset=offset, length=length, read=_reader(move, what, as_it_is=as_it_is))
        for offset, length in slices([(0, size)], move.world.policy.verify.slice)
    ]
    found = Comparison(move.world.policy.verify, watch).run(pieces).get(layer.source)
    if found:
        raise _differs(what, f"{len(found)} extents, first at {found[0].offset}")


def _differs(what: tuple[Layer, VolumeSpec], how: str) -> CopyError:
    layer, spec = what
    remedy = "look at both storages: one of them does not keep what is written"
    if layer.found:
        remedy = "it is another file of that name; copy your own: --base copy, or rename one of them"
    return CopyError(f"{spec.path} differs from {layer.source}: {how}", reason="copy-differs", remedy=remedy)


def _reader(move: Move, what: tuple[Layer, VolumeSpec], *, as_it_is: bool) -> Read:
    layer, spec = what
    formats = ("raw", "raw") if as_it_is else (layer.source_format, spec.format)

    def read(offset: int, length: int, advanced: Callable[[int], bool]) -> int | None:
        return move.world.host.compare_local(
            layer.source,
            formats[0],
            spec.path,
            formats[1],
            offset,
            length,
            advanced,
            # One that was found may be made in another way, and lie on another file.
            layer=spec.backing is not None and not layer.found,
        )

    return read
