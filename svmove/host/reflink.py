"""Files that share their extents: made by the file system (XFS, btrfs) in no time, and proven without reading data.

ioctl(FICLONE) and ioctl(FS_IOC_FIEMAP): linux/fs.h, linux/fiemap.h, Documentation/filesystems/fiemap.rst.
"""

import array
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from svmove.errors import HostError

_FICLONE = 0x40049409
_FIEMAP = 0xC020660B
_HEADER = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQ16xL12x")
_AT_ONCE = 512
_SYNC = 0x1
_LAST, _UNWRITTEN, _SHARED = 0x1, 0x800, 0x2000
# Where the map does not say which bytes of the disk the file's are: unknown, not yet allocated, compressed or
# encrypted, inside an inode, not aligned.
_VAGUE = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400


def clone(source: int, destination: int) -> bool:
    """Lets the open file `destination` share all extents of `source`; False where that can't be."""
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError:
        return False
    return True


def shares_all(source: str, destination: str) -> bool:
    """Whether two files are proven to have the same bytes because they are the same blocks of the disk.

    Of one file system only: two that were made alike have different data at the same offsets of their disks. Raises
    HostError.
    """
    try:
        with Path(source).open("rb") as one, Path(destination).open("rb") as other:
            return _shares_all(one.fileno(), other.fileno())
    except OSError as error:
        raise HostError(f"{error.filename}: {error.strerror}") from error


def _shares_all(source: int, destination: int) -> bool:
    one_status, other_status = os.fstat(source), os.fstat(destination)
    if (one_status.st_dev, one_status.st_size) != (other_status.st_dev, other_status.st_size):
        return False
    try:
        one, other = _map(source), _map(destination)
    except OSError:
        return False
    return one is not None and one == other


def shared_bytes(path: str) -> int:
    """Of a file, what other files have as well. 0 where that can't be found out: a plan predicts with it, no more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            extents = _extents(descriptor, flags=0)  # what is not written yet is nobody else's
            return sum(length for _, _, length, found in extents if found & _SHARED)
        finally:
            os.close(descriptor)
    except OSError:
        return 0


def _map(descriptor: int) -> list[tuple[int, int, int]] | None:
    """Logical and physical offset, length of all that holds data, as few as possible; None if any is not shared."""
    found: list[tuple[int, int, int]] = []
    for logical, physical, length, flags in _extents(descriptor):
        if flags & _VAGUE:
            return None
        if flags & _UNWRITTEN:  # reads as zeros, like a hole
            continue
        if not flags & _SHARED:
            return None
        if found and (found[-1][0] + found[-1][2], found[-1][1] + found[-1][2]) == (logical, physical):
            logical, physical, length = found[-1][0], found[-1][1], found[-1][2] + length
            found.pop()
        found.append((logical, physical, length))
    return found


def _extents(descriptor: int, flags: int = _SYNC) -> Iterator[tuple[int, int, int, int]]:
    start, end = 0, os.fstat(descriptor).st_size
    while start < end:
        buffer = array.array("B", bytes(_HEADER.size + _AT_ONCE * _EXTENT.size))
        _HEADER.pack_into(buffer, 0, start, end - start, flags, 0, _AT_ONCE, 0)
        fcntl.ioctl(descriptor, _FIEMAP, buffer)
        mapped = _HEADER.unpack_from(buffer)[3]
        for number in range(mapped):
            logical, physical, length, found = _EXTENT.unpack_from(buffer, _HEADER.size + number * _EXTENT.size)
            yield logical, physical, length, found
            if found & _LAST:
                return
            start = logical + length
        if mapped == 0:
            return
