"""Copies an image that nobody writes, into a file that exists: the cheapest way that both storages allow.

Same format: the file is copied byte for byte, so all that the format keeps in it stays. Its extents are shared; else
copy_file_range copies them, within a file system or a server; else qemu-img does. Another format: qemu-img copies the
guest's view of it. What was reported as saved is on stable storage, so that a copy that was cut off is gone on with
there.
"""

import os
import re
import time

from svmove.errors import HostError
from svmove.host import command, reflink, slices
from svmove.host.progress import Bandwidth, Progress, Saved
from svmove.model import CopyWay
from svmove.units import MiB

# Of a call that copies; short enough to keep to a rate and to be interrupted.
_CHUNK = 4 * MiB
# Before 5.19 copy_file_range did not refuse two file systems that can't, but read and wrote itself, in one thread.
_LINUX = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
_REFUSES = (5, 19)


def copy(
    source: str,
    source_format: str,
    destination: str,
    destination_format: str,
    *,
    begin: int,
    bandwidth: Bandwidth,
    saved: Saved,
    flatten: bool = False,
    share: bool = False,
) -> CopyWay:
    """`saved(offset, end)`, in bytes, returns False to stop. `flatten`: with all that lies below the source. `share`:
    by shared extents or not at all.

    Raises HostError, also when it was stopped."""
    try:
        with open(source, "rb") as reader, open(destination, "r+b") as writer:  # noqa: PTH123 (descriptors)
            if source_format == destination_format and not flatten:
                end = os.fstat(reader.fileno()).st_size
                progress = Progress(writer.fileno(), begin, end, bandwidth, saved)
                way = _file((source, destination), (reader.fileno(), writer.fileno()), begin, progress, share=share)
            elif share:
                raise HostError(f"{destination} can't share the extents of {source}: it is made in another way")
            else:
                end = int(command.image_info(source, source_format)["virtual-size"])
                progress = Progress(writer.fileno(), begin, end, bandwidth, saved)
                slices.copy_view(
                    (source, source_format), (destination, destination_format), begin, progress, flatten=flatten
                )
                way = CopyWay.CONVERT
            progress.finished()
            return way
    except OSError as error:
        raise HostError(f"{error.filename or destination}: {error.strerror}") from error


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
