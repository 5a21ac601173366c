"""Copies an image that nobody writes, into a file that exists: the cheapest way that both storages allow.

Same format: the file is copied as it is, so all that the format keeps in it stays. Else, and where a chain becomes one
file, qemu-img reads and writes the guest's view of it, slice by slice. What was reported as saved is on stable storage,
so that a copy that was cut off is gone on with there.
"""

import os
import time
from collections.abc import Callable, Iterator

from svmove.errors import HostError
from svmove.host import command, reflink
from svmove.model import CopyWay
from svmove.units import MiB

# Of a call that copies; short enough to keep to a rate and to be interrupted.
_CHUNK = 4 * MiB
# Between two reports, each of which waits for the disk (seconds).
_EVERY = 0.5
# Of qemu-img, which is started for each: 20 ms. While it runs nobody looks whether to go on, so a slice is to take
# about a second.
_FIRST_SLICE = 16 * MiB
_MOST_SLICE = 256 * MiB
_LEAST_SLICE = 1 * MiB
# stat counts blocks of this size.
_BLOCK = 512

Bandwidth = Callable[[], int | None]
Saved = Callable[[int, int], bool]


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
        if source_format == destination_format and not flatten:
            return _file(source, destination, begin, bandwidth, saved, share=share)
        if share:
            raise HostError(f"{destination} can't share the extents of {source}: it is made in another way")
        return _convert(
            source, source_format, destination, destination_format, begin, bandwidth, saved, flatten=flatten
        )
    except OSError as error:
        raise HostError(f"{error.filename or destination}: {error.strerror}") from error


def _file(source: str, destination: str, begin: int, bandwidth: Bandwidth, saved: Saved, *, share: bool) -> CopyWay:
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writer = os.open(destination, os.O_RDWR | os.O_CLOEXEC)
        try:
            copied = _Copy(reader, writer, bandwidth, saved)
            if begin == 0 and copied.shared():
                return CopyWay.REFLINK
            if share:
                raise HostError(f"{destination} can't share the extents of {source}")
            return copied.run(begin)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


class _Copy:
    def __init__(self, reader: int, writer: int, bandwidth: Bandwidth, saved: Saved) -> None:
        self._reader, self._writer = reader, writer
        self._bandwidth, self._saved = bandwidth, saved
        self._size = os.fstat(reader).st_size
        self._way = CopyWay.COPY_RANGE

    def shared(self) -> bool:
        """All extents at once, where the file system can."""
        os.fsync(self._reader)  # or cloning waits for what is not written yet: 5.8 s instead of 5 ms
        # What lies there is of the file's making, or of an attempt that was cut off.
        os.ftruncate(self._writer, 0)
        if not reflink.clone(self._reader, self._writer):
            return False
        os.fsync(self._writer)
        self._tell(self._size)
        return True

    def run(self, begin: int) -> CopyWay:
        # What an attempt that was cut off has written behind `begin` was never reported: a hole must be one here too.
        os.ftruncate(self._writer, begin)
        os.ftruncate(self._writer, self._size)
        told, owed = time.monotonic(), 0.0
        for offset, length in _data(self._reader, begin, self._size):
            at, end = offset, offset + length
            while at < end:
                began = time.monotonic()
                done = self._chunk(at, min(end - at, _CHUNK))
                if done == 0:
                    raise HostError("the source has become shorter while it was copied")
                at += done
                if (rate := self._bandwidth()) is not None:
                    owed = max(owed + done / rate - (time.monotonic() - began), 0.0)
                while True:
                    if time.monotonic() - told >= _EVERY:
                        os.fdatasync(self._writer)
                        self._tell(at)
                        told = time.monotonic()
                    if rate is None or owed <= _EVERY / 10:
                        break
                    # Not all at once: somebody may want it to stop.
                    time.sleep(min(owed, _EVERY))
                    owed -= min(owed, _EVERY)
        os.fsync(self._writer)
        self._tell(self._size)
        return self._way

    def _tell(self, offset: int) -> None:
        if not self._saved(offset, self._size):
            raise HostError("the copy was stopped")

    def _chunk(self, at: int, length: int) -> int:
        if self._way is CopyWay.COPY_RANGE:
            try:
                if (done := os.copy_file_range(self._reader, self._writer, length, at, at)) > 0:
                    return done
            except OSError:  # two file systems, or one that can't
                pass
            self._way = CopyWay.PLAIN
        data = os.pread(self._reader, length, at)
        written = os.pwrite(self._writer, data, at)
        os.posix_fadvise(self._reader, at, length, os.POSIX_FADV_DONTNEED)
        return written


def _data(descriptor: int, begin: int, size: int) -> Iterator[tuple[int, int]]:
    """What is no hole: offset, length."""
    at = begin
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at - start


def _convert(
    source: str,
    source_format: str,
    destination: str,
    destination_format: str,
    begin: int,
    bandwidth: Bandwidth,
    saved: Saved,
    *,
    flatten: bool,
) -> CopyWay:
    size = int(command.image_info(source, source_format)["virtual-size"])
    with open(destination, "rb") as file:  # noqa: PTH123 (a descriptor to sync with)
        offset, wanted, has = begin, _FIRST_SLICE, os.fstat(file.fileno()).st_blocks * _BLOCK
        while offset < size:
            rate, began = bandwidth(), time.monotonic()
            if rate is not None:
                wanted = min(wanted, max(rate // MiB * MiB, _LEAST_SLICE))
            length = min(wanted, size - offset)
            command.convert_slice(
                source,
                source_format,
                destination,
                destination_format,
                offset,
                length,
                bandwidth=rate,
                blank=begin == 0,
                flatten=flatten,
            )
            offset += length
            wanted = _following(wanted, time.monotonic() - began)
            os.fsync(file.fileno())  # qemu-img does not
            if not saved(offset, size):
                raise HostError("the copy was stopped")
            # The first 2 MiB of each slice are one request, which qemu-img's own limit (-r) lets through at once.
            had, has = has, os.fstat(file.fileno()).st_blocks * _BLOCK
            while (rate := bandwidth()) is not None:
                if (owed := (has - had) / rate - (time.monotonic() - began)) <= 0:
                    break
                time.sleep(min(owed, _EVERY))
                if not saved(offset, size):
                    raise HostError("the copy was stopped")
    return CopyWay.CONVERT


def _following(size: int, seconds: float) -> int:
    """The size of the slice after one that took that long."""
    if seconds < _EVERY:
        return min(size * 2, _MOST_SLICE)
    return max(size // 2, _LEAST_SLICE) if seconds > 4 * _EVERY else size
