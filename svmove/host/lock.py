"""A lock on an image that QEMU respects: no guest can be started onto it while it is held; readers still can read.

QEMU locks single bytes of an image (block/file-posix.c, raw_check_lock_bytes): a shared lock on 100 + N says "I use
permission N", one on 200 + N "nobody else may use it". Whoever opens an image locks first and looks afterwards, so of
two that come at once at least one sees the other. The locks are those of an open file (F_OFD_SETLK), which the kernel
frees when the process dies, however it does. On NFS they hold for all clients.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from svmove.errors import HostError

_USED, _BARRED = 100, 200  # RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE
_WRITE, _RESIZE = 1, 3  # bits of BLK_PERM_WRITE and BLK_PERM_RESIZE

# struct flock: type, whence, start, length, pid. The kernel wants pid 0 for these commands.
_FLOCK = struct.Struct("hhqqi4x")


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Raises HostError when somebody writes to the image, or the file system knows no locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    try:
        for permission in (_WRITE, _RESIZE):
            _share(descriptor, path, _BARRED + permission)
        for permission in (_WRITE, _RESIZE):
            if _is_taken(descriptor, path, _USED + permission):
                raise HostError(f"somebody has {path} open for writing", remedy="end what uses it")
        yield
    finally:
        os.close(descriptor)


def _share(descriptor: int, path: str, at: int) -> None:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, at, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise HostError(f"somebody has locked {path}", remedy="end what uses it") from error
        raise HostError(f"{path} can't be locked: {error.strerror}") from error


def _is_taken(descriptor: int, path: str, at: int) -> bool:
    """Whether somebody else has that byte locked, in whatever way."""
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
        return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
    except OSError as error:
        raise HostError(f"{path} can't be locked: {error.strerror}") from error
