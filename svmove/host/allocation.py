"""fallocate(2), and nothing else: posix_fallocate of a C library writes zeros where the file system can't."""

import ctypes
import errno
import os

_CAN_NOT = (errno.EOPNOTSUPP, errno.ENOSYS)
_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def allocate(descriptor: int, offset: int, length: int) -> None:
    """Gives a part of an open file room, if the file system can; what is in it stays. Raises OSError: full."""
    while _fallocate(descriptor, 0, offset, length) != 0:
        number = ctypes.get_errno()
        if number in _CAN_NOT:
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
