"""How a file could get into a folder, tried on its first block: nothing is left behind, and a plan may ask."""

import fcntl
import os
import struct

from svmove.model import CopyWay

# linux/fs.h: FICLONERANGE, struct file_clone_range {s64 fd; u64 offset, length, destination offset}.
_FICLONERANGE = 0x4020940D
_RANGE = struct.Struct("=qQQQ")


def guess(source: str, folder: str) -> CopyWay:
    """Raises OSError when the source can't be read, or there is no such folder."""
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _shares(reader, folder):
            return CopyWay.REFLINK
        same = os.fstat(reader).st_dev == os.stat(folder).st_dev
        return CopyWay.COPY_RANGE if same else CopyWay.CONVERT
    finally:
        os.close(reader)


def _shares(reader: int, folder: str) -> bool:
    """One block alone, since a clone waits for what is not written yet: seconds for the whole of a busy image."""
    status = os.fstat(reader)
    length = status.st_blksize if status.st_size >= status.st_blksize else 0  # 0: to the end
    try:
        # Without a name: it is gone when it is closed, also by a crash.
        writer = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        os.stat(folder)
        return False  # NFS, for one, has no such files
    try:
        fcntl.ioctl(writer, _FICLONERANGE, _RANGE.pack(reader, 0, length, 0))
    except OSError:
        return False
    finally:
        os.close(writer)
    return True


def takes_direct(folder: str) -> bool | None:
    """Whether a file to be can be opened past the page cache, tried with one that has no name. None: there can't be one
    (NFS), so nothing is known."""
    found = []
    for flags in (0, os.O_DIRECT):
        try:
            os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | flags, 0o600))
            found.append(True)
        except OSError:
            found.append(False)
    without, past = found
    return past if without else None
