"""Copies with qemu-img, which has 16 requests under way at once, past the page cache.

It writes in any order: only what lies before a slice that has ended is known to be there. So it is started for one
slice after the other, 20 ms each, which are to take about a second. While one is copied it is looked whether to go on;
one that is not to be is ended in its midst, and nothing of it was reported.
"""

import errno
import os
import time
from collections.abc import Iterable, Iterator

from svmove import location
from svmove.errors import HostError
from svmove.host import allocation
from svmove.host.convert import convert, not_zero, opens_in
from svmove.host.nodes import Nodes, Options, Side, seen_whole, sliced
from svmove.host.progress import EVERY, Progress
from svmove.units import GiB, KiB, MiB

_FIRST = 16 * MiB
_MOST = 256 * MiB
_LEAST = 64 * KiB
# What O_DIRECT may want to be aligned.
_BLOCK = 4096
# QEMU counts a file in these, and takes what the last one lacks for zeros.
_SECTOR = 512
# What is asked at once which parts of an image have data: as JSON that is a few MiB at worst.
_WINDOW = 16 * GiB
# Of an image with a key, which takes seconds to open: it is copied four times as long as it takes to open it.
_WORTH = 4.0
_MOST_LOCKED = 4 * GiB


def copy_file(source: str, destination: str, begin: int, progress: Progress) -> None:
    """The bytes of a file, into one that is as long, and has nothing but a hole from `begin` on."""
    size = progress.end
    with (
        open(source, "rb") as reader,  # noqa: PTH123 (descriptors)
        open(destination, "r+b") as writer,  # noqa: PTH123
        Nodes() as nodes,
    ):
        left, right = nodes.protocol(source), nodes.protocol(destination)
        # For as long as it is written to, or QEMU says "Image size is not a multiple of request alignment".
        writer.truncate(_up(size, _BLOCK))
        at, wanted = begin, _FIRST
        while found := _next(reader.fileno(), at, size, _within(wanted, progress)):
            began = time.monotonic()
            for offset, length in found:
                # Else ext4 and XFS let one write into a hole at a time: 4.8 s became 2.6 s.
                allocation.allocate(writer.fileno(), offset, length)
            start, at = found[0][0] // _BLOCK * _BLOCK, _up(sum(found[-1]), _BLOCK)
            length = min(at, _up(size, _SECTOR)) - start
            convert(
                nodes,
                sliced(left, start, length),
                sliced(right, start, length),
                bandwidth=progress.bandwidth(),
                blank=True,
                heed=progress.heed,
            )
            taken = time.monotonic() - began
            progress.copied(min(at, size), sum(length for _, length in found), taken)
            wanted = _following(wanted, taken)
        if os.fstat(reader.fileno()).st_size < size:
            raise HostError(f"{source} has become shorter while it was copied")
        writer.truncate(size)


def copy_view(
    nodes: Nodes, source: Side, destination: Side, begin: int, progress: Progress, *, blank: bool, flatten: bool
) -> None:
    """What a guest sees of an image, into another one. `blank`: which has nothing but zeros from `begin` on; else zeros
    are written as well. `flatten`: with what lies below the source."""
    whole = source.node(nodes)
    # Another format's metadata are small and written often: past the cache each would wait for the disk. And a file
    # that ends within a block can't be written past it: "Image size is not a multiple of request alignment".
    torn = location.is_file(destination.path) and progress.end % _BLOCK != 0
    right = destination.node(nodes, cached=destination.format != "raw" or torn)
    keys = [node for side, node in ((source, whole), (destination, right)) if side.luks is not None]
    opening = sum(opens_in(nodes, node, progress.heed) for node in keys)
    left = seen_whole(whole) if flatten else whole
    blank = blank and not destination.hides
    pieces = _Pieces(nodes, left, progress, holes=blank and not source.hides)
    at, wanted = begin, _FIRST if opening < 1 else _MOST
    while found := pieces.following(at, _within(wanted, progress, max(1.0, _WORTH * opening))):
        start, at = found[0][0] // _BLOCK * _BLOCK, min(_up(sum(found[-1]), _BLOCK), progress.end)
        began = time.monotonic()
        convert(
            nodes,
            sliced(left, start, at - start),
            sliced(right, start, at - start),
            bandwidth=progress.bandwidth(),
            blank=blank,
            flushed=location.is_network(destination.path),
            heed=progress.heed,
        )
        taken = time.monotonic() - began
        progress.copied(at, sum(length for _, length in found), taken)
        wanted = _following(wanted, taken, opening)


class _Pieces:
    """What is to be copied of an image. `holes`: what is known to be zeros is left out."""

    def __init__(self, nodes: Nodes, image: Options, progress: Progress, *, holes: bool) -> None:
        self._holes = holes
        self._nodes, self._image, self._end, self._heed = nodes, image, progress.end, progress.heed
        self._known: list[tuple[int, int]] = []
        self._until = 0  # where `_known` ends

    def following(self, at: int, wanted: int) -> list[tuple[int, int]]:
        """So many bytes from `at` on: offset, length. Raises HostError."""
        return _first(self._from(at), wanted)

    def _from(self, at: int) -> Iterator[tuple[int, int]]:
        if not self._holes:
            yield at, self._end - at
            return
        while at < self._end:
            if at >= self._until:
                self._until = min(at + _WINDOW, self._end)
                found = not_zero(self._nodes, sliced(self._image, at, self._until - at), self._heed)
                self._known = [(at + offset, length) for offset, length in found]
            for offset, length in self._known:
                if offset + length > at:
                    begin = max(offset, at)
                    yield begin, offset + length - begin
            at = self._until


def _within(wanted: int, progress: Progress, seconds: float = 1.0) -> int:
    """What takes so long at most. Sharing it out is up to us: QEMU lets the first 2 MiB pass at any rate."""
    rate = progress.bandwidth()
    return wanted if rate is None else min(wanted, max(round(rate * seconds) // _LEAST * _LEAST, _LEAST))


def _following(size: int, seconds: float, opening: float = 0.0) -> int:
    """The size of the slice after one that took that long, of which `opening` is not the copy's."""
    most, copying = _MOST if opening < 1 else _MOST_LOCKED, seconds - opening
    enough = max(EVERY, _WORTH * opening)
    if copying < enough:
        return min(size * 2, most)
    return max(size // 2, _LEAST) if copying > 4 * enough else size


def _next(descriptor: int, at: int, size: int, wanted: int) -> list[tuple[int, int]]:
    """What comes next that is no hole, so many bytes of it: offset, length."""
    return _first(data(descriptor, at, size), wanted)


def _first(extents: Iterable[tuple[int, int]], wanted: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for offset, length in extents:
        if length:
            found.append((offset, min(length, wanted)))
            wanted -= found[-1][1]
        if wanted == 0:
            break
    return found


def data(descriptor: int, begin: int, size: int) -> Iterator[tuple[int, int]]:
    """What is no hole in an open file, from `begin` on: offset, length."""
    at = begin
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing but a hole is left
                raise
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at - start


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
