"""How long a write to the storage below a path takes: run as a program of its own, which may hang in the kernel.

It writes to a file without a name (O_TMPFILE) in the same folder, which is gone when this process is, however that
ends: there is nothing to remove, and no image is touched. Where there is no such thing (NFS, a block device), a read
and a flush of what the path names are timed instead.

Nothing of svmove is imported: all of it takes 30 ms.
"""

import mmap
import os
import stat
import sys
import time
from pathlib import Path

# Of one of QEMU's 16 requests under way, at its least buffer of 1 MiB.
SIZE = 64 << 10
_BLOCK = 4096


def seconds(path: str) -> float:
    began = time.monotonic()
    try:
        found = str(Path(path).resolve())
        if stat.S_ISREG(os.stat(found).st_mode) and (file := _nameless(str(Path(found).parent))) is not None:
            return _rewritten(file)
        _read_and_flush(found)
    except OSError:
        pass  # an error is an answer: the copy will tell of it
    return time.monotonic() - began


def _nameless(folder: str) -> int | None:
    flags = os.O_TMPFILE | os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC
    for direct in (os.O_DIRECT, 0):  # tmpfs, for one, takes no O_DIRECT before Linux 6.5
        try:
            return os.open(folder, flags | direct, 0o600)
        except OSError:
            continue
    return None


def _rewritten(file: int) -> float:
    """The second write of the same bytes: the first one allocates, which takes several of the journal's as well."""
    with mmap.mmap(-1, SIZE) as zeroes:  # aligned to a page, as O_DIRECT wants it
        os.pwrite(file, zeroes, 0)
        began = time.monotonic()
        os.pwrite(file, zeroes, 0)
        return time.monotonic() - began


def _read_and_flush(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    with mmap.mmap(-1, _BLOCK) as buffer:
        os.preadv(file, [buffer], 0)
    os.fdatasync(file)


if __name__ == "__main__":
    print(seconds(sys.argv[1]))
