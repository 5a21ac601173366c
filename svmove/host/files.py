"""A file or a block device that is there: what is in it, and whether somebody has written to it."""

import fcntl
import os
import shutil
import stat
import struct
from pathlib import Path

from svmove.errors import HostError
from svmove.host import procfs
from svmove.units import MiB
from svmove.volumes import Taken

_HEAD = 1 * MiB
# linux/fs.h: whether a block device is read-only.
_BLKROGET = 0x125E
# Of a device's `stat` (Documentation/block/stat.rst): sectors written, and discarded. A flush counts as a write, and
# writes no sector.
_WRITTEN = (6, 13)


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


def stamp(path: str) -> str | None:
    """What differs when somebody has written to it. Raises HostError."""
    found = status(path)
    if found is None:
        return None
    if stat.S_ISBLK(found.st_mode):
        try:
            return f"{procfs.file_id(found)} {_written(path, found.st_rdev)}"
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
    # Not the time of the last change (ctime): libvirt changes a file's owner at a start, also at one that fails.
    return f"{procfs.file_id(found)} {found.st_size} {found.st_mtime_ns}"


def _written(path: str, device: int) -> str:
    """Which boot, and how much this kernel has written to the device since: what other hosts write is not in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # what waits in the page cache is written now, not later
    finally:
        os.close(descriptor)
    counted = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return " ".join((boot, *(counted[field] for field in _WRITTEN if field < len(counted))))


def _read_only(descriptor: int, path: str) -> bool:
    if not Path(path).is_block_device():
        return not os.access(path, os.W_OK)
    (flag,) = struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, bytes(4)))
    return bool(flag)


def free(path: str) -> int:
    """Of the file system that the nearest folder there is lies on. Raises HostError."""
    folder = Path(path)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}") from error


def status(path: str) -> os.stat_result | None:
    """None when there is no such file. Raises HostError."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
