"""Copies with qemu-img, which has 16 requests under way at once, past the page cache.

It writes in any order: only what lies before a slice that has ended is known to be there. So it is started for one
slice after the other, 20 ms each, which are to take about a second. While one is copied it is looked whether to go on;
one that is not to be is ended in its midst, and nothing of it was reported.
"""

import errno
import os
import time
from collections.abc import Iterator

from svmove.errors import HostError
from svmove.host import allocation
from svmove.host.convert import convert
from svmove.host.nodes import Nodes, seen_whole, sliced
from svmove.host.progress import EVERY, Progress
from svmove.units import KiB, MiB

_FIRST = 16 * MiB
_MOST = 256 * MiB
_LEAST = 64 * KiB
# What O_DIRECT may want to be aligned.
_BLOCK = 4096
# QEMU counts a file in these, and takes what the last one lacks for zeros.
_SECTOR = 512
# Of stat, whatever the file system's own block size is.
_STAT_BLOCK = 512


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
    source: tuple[str, str], destination: tuple[str, str], begin: int, progress: Progress, *, flatten: bool
) -> None:
    """What a guest sees of an image (path, format), into another one; from 0 on into one that has nothing yet.
    `flatten`: with what lies below the source."""
    at, wanted = begin, _FIRST
    with Nodes() as nodes:
        left = nodes.image(*source)
        # Another format's metadata are small and written often: past the cache each would wait for the disk.
        right = nodes.image(*destination, cached=destination[1] != "raw")
        while at < progress.end:
            length = min(_within(wanted, progress), progress.end - at)
            began, before = time.monotonic(), os.stat(destination[0]).st_blocks
            convert(
                nodes,
                sliced(seen_whole(left) if flatten else left, at, length),
                sliced(right, at, length),
                bandwidth=progress.bandwidth(),
                blank=begin == 0,
                heed=progress.heed,
            )
            taken = time.monotonic() - began
            at += length
            progress.copied(at, (os.stat(destination[0]).st_blocks - before) * _STAT_BLOCK, taken)
            wanted = _following(wanted, taken)


def _within(wanted: int, progress: Progress) -> int:
    """What takes a second at most. Sharing it out is up to us: QEMU lets the first 2 MiB pass at any rate."""
    rate = progress.bandwidth()
    return wanted if rate is None else min(wanted, max(rate // _LEAST * _LEAST, _LEAST))


def _following(size: int, seconds: float) -> int:
    """The size of the slice after one that took that long."""
    if seconds < EVERY:
        return min(size * 2, _MOST)
    return max(size // 2, _LEAST) if seconds > 4 * EVERY else size


def _next(descriptor: int, at: int, size: int, wanted: int) -> list[tuple[int, int]]:
    """What comes next that is no hole, so many bytes of it: offset, length."""
    found: list[tuple[int, int]] = []
    for offset, length in data(descriptor, at, size):
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
