"""Who has which file open, from /proc. A file is known by device and inode: a path may name another one by now."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from svmove.errors import HostError


def processes() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())


def file_id(status: os.stat_result) -> str:
    if stat.S_ISBLK(status.st_mode):
        return f"block:{status.st_rdev}"
    return f"{status.st_dev}:{status.st_ino}"


def open_files(process: Path, *, tolerant: bool) -> set[str]:
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed since it was listed
                found.add(file_id(descriptor.stat()))
    except OSError as error:
        if not tolerant:
            raise HostError(
                f"can't look into process {process.name}: {error.strerror}", remedy="run svmove as root"
            ) from error
    return found
