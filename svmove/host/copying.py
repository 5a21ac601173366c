"""Copies an image that nobody writes, into one that exists: the cheapest way that both storages allow.

A file as it is: byte for byte, so all that the format keeps in it stays. Its extents are shared; else copy_file_range
copies them, within a file system or a server; else qemu-img does. Another format, another key, another kind of place:
qemu-img copies the guest's view of it. What was reported as saved is on stable storage, so that a copy that was cut off
is gone on with there.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from svmove import location
from svmove.errors import HostError
from svmove.host import reflink, slices
from svmove.host.convert import flush
from svmove.host.nodes import Nodes, Side, Values
from svmove.host.progress import Bandwidth, Progress, Saved, Sync
from svmove.model import CopyWay
from svmove.units import MiB

# Of a call that copies; short enough to keep to a rate and to be interrupted.
_CHUNK = 4 * MiB
# Before 5.19 copy_file_range did not refuse two file systems that can't, but read and wrote itself, in one thread.
_LINUX = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
_REFUSES = (5, 19)


def copy(
    source: Side,
    destination: Side,
    *,
    values: Values,
    length: int | None,
    begin: int,
    bandwidth: Bandwidth,
    saved: Saved,
    blank: bool = True,
    flatten: bool = False,
    share: bool = False,
) -> CopyWay:
    """`length`: of what a guest sees; None: the file as it is. `saved(offset, end)`, in bytes, returns False to stop.
    `blank`: the destination has nothing but zeros yet. `flatten`: with all that lies below the source. `share`: by
    shared extents or not at all.

    Raises HostError, also when it was stopped."""
    try:
        if length is None:
            with open(source.path, "rb") as reader, open(destination.path, "r+b") as writer:  # noqa: PTH123 (descriptors)
                end = os.fstat(reader.fileno()).st_size
                progress = Progress(lambda _heed: os.fsync(writer.fileno()), begin, end, bandwidth, saved)
                paths, files = (source.path, destination.path), (reader.fileno(), writer.fileno())
                way = _file(paths, files, begin, progress, share=share)
                progress.finished()
                return way
        if share:
            raise HostError(f"{destination.path} can't share the extents of {source.path}: it is made in another way")
        with Nodes(values) as nodes, _synced(nodes, destination) as sync:
            progress = Progress(sync, begin, length, bandwidth, saved)
            # What an attempt that was cut off has written behind `begin` was never reported.
            blank = blank and begin == 0
            slices.copy_view(nodes, source, destination, begin, progress, blank=blank, flatten=flatten)
            progress.finished()
            return CopyWay.CONVERT
    except OSError as error:
        raise HostError(f"{error.filename or destination.path}: {error.strerror}") from error


@contextmanager
def _synced(nodes: Nodes, image: Side) -> Iterator[Sync]:
    """What brings all that was written to an image to stable storage."""
    if location.is_network(image.path):
        storage = nodes.protocol(image.path)
        yield lambda heed: flush(nodes, storage, image.path, heed)
        return
    with open(image.path, "r+b") as writer:  # noqa: PTH123 (a descriptor)
        yield lambda _heed: os.fsync(writer.fileno())


def _file(paths: tuple[str, str], files: tuple[int, int], begin: int, progress: Progress, *, share: bool) -> CopyWay:
    """`paths` and descriptors `files`: those of the source and of the destination."""
    reader, writer = files
    if begin == 0:
        os.fsync(reader)  # or cloning waits for what is not written yet: 5.8 s instead of 5 ms
        # What lies there is of the file's making, or of an attempt that was cut off.
        os.ftruncate(writer, 0)
        if reflink.clone(reader, writer):
            return CopyWay.REFLINK
    if share:
        raise HostError(f"{paths[1]} can't share the extents of {paths[0]}")
    # What an attempt that was cut off has written behind `begin` was never reported: a hole must be one here too.
    os.ftruncate(writer, begin)
    os.ftruncate(writer, progress.end)
    at: int | None = begin
    if _LINUX >= _REFUSES or os.fstat(reader).st_dev == os.fstat(writer).st_dev:
        at = _by_kernel(reader, writer, begin, progress)
    if at is None:
        return CopyWay.COPY_RANGE
    slices.copy_file(*paths, at, progress)
    return CopyWay.CONVERT


def _by_kernel(reader: int, writer: int, begin: int, progress: Progress) -> int | None:
    """Where it could not go on, for whatever reason; None: nothing is left to copy."""
    for offset, length in slices.data(reader, begin, progress.end):
        at, end = offset, offset + length
        while at < end:
            began = time.monotonic()
            try:
                done = os.copy_file_range(reader, writer, min(end - at, _CHUNK), at, at)
            except OSError:  # two file systems, or one that can't
                return at
            if done == 0:
                return at
            at += done
            progress.copied(at, done, time.monotonic() - began)
    return None
