"""A file or a block device that is there, and is to be written to."""

import fcntl
import os
import struct
from pathlib import Path

from svmove.errors import HostError
from svmove.units import MiB
from svmove.volumes import Taken

_HEAD = 1 * MiB
# linux/fs.h: whether a block device is read-only.
_BLKROGET = 0x125E


def taken(path: str) -> Taken | None:
    """Raises HostError."""
    try:
        with Path(path).open("rb") as file:
            size = os.lseek(file.fileno(), 0, os.SEEK_END)
            file.seek(0)
            return Taken(size=size, blank=not any(file.read(_HEAD)), read_only=_read_only(file.fileno(), path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error


def _read_only(descriptor: int, path: str) -> bool:
    if not Path(path).is_block_device():
        return not os.access(path, os.W_OK)
    (flag,) = struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, bytes(4)))
    return bool(flag)


def stat(path: str) -> os.stat_result | None:
    """None when there is no such file. Raises HostError."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
