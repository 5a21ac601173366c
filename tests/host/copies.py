"""Images to copy, and file systems of their own to copy them between."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from svmove.host import command
from svmove.host.local import LocalHost
from svmove.model import CopyWay
from svmove.units import KiB, MiB

NAMES = ["plain", "a,b=c", 'quo\'te "double"', "spa ce", "größe;$x"]


def unlimited() -> int | None:
    return None


class Told:
    """What `saved` was told; says False at call number `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        self.offsets: list[int] = []
        self.ends: set[int] = set()
        self._stop = stop

    def __call__(self, offset: int, end: int) -> bool:
        self.offsets.append(offset)
        self.ends.add(end)
        return len(self.offsets) != self._stop


def copied(
    source: Path,
    destination: Path,
    formats: tuple[str, str] = ("raw", "raw"),
    *,
    begin: int = 0,
    bandwidth: Callable[[], int | None] = unlimited,
    saved: Callable[[int, int], bool] | None = None,
    flatten: bool = False,
    share: bool = False,
    blank: bool = True,
) -> CopyWay:
    """The file as it is, or, in another format and of a chain, what a guest sees of it."""
    anew = flatten or formats[0] != formats[1]
    return LocalHost().copy_image(
        str(source),
        formats[0],
        str(destination),
        formats[1],
        length=LocalHost().image(str(source), formats[0]).virtual_bytes if anew else None,
        begin=begin,
        bandwidth=bandwidth,
        saved=saved or Told(),
        flatten=flatten,
        share=share,
        blank=blank,
    )


def sparse(path: Path, size: int = 8 * MiB) -> Path:
    """Data at 1 MiB and at the odd end, holes around it."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(1 * MiB)
        file.write(os.urandom(256 * KiB))
        file.seek(size - 3)
        file.write(b"end")
    return path


def blank(path: Path, format_: str = "raw", size: int = 8 * MiB, *more: str) -> Path:
    command.run(["qemu-img", "create", "-q", "-f", format_, *more, "--", str(path), str(size)])
    return path


def filled(path: Path, format_: str, size: int = 8 * MiB) -> Path:
    blank(path, format_, size)
    for at, byte in ((0, 1), (3 * MiB, 2), (size - 64 * KiB, 3)):
        command.run(["qemu-io", "-f", format_, "-c", f"write -P {byte} {at} 64k", str(path)])
    return path


def equal(one: Path, other: Path, formats: tuple[str, str]) -> bool:
    options = [
        f"json:{json.dumps({'driver': f, 'file': {'driver': 'file', 'filename': str(p)}})}"
        for f, p in zip(formats, (one, other), strict=True)
    ]
    return subprocess.run(["qemu-img", "compare", "-q", *options], check=False).returncode == 0


@contextmanager
def mounted(kind: str, folder: Path, *, sector: int = 512) -> Iterator[Path]:
    """A file system of 320 MiB on a disk with sectors of that size."""
    image, where = folder / "fs.img", folder / "mnt"
    where.mkdir()
    image.touch()
    os.truncate(image, 320 * MiB)
    make = {
        "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
        "btrfs": ["mkfs.btrfs", "-q"],
        "ext4": ["mkfs.ext4", "-q", "-m", "0", "-b", "4096"],
        "ext4 of small blocks": ["mkfs.ext4", "-q", "-m", "0", "-b", "1024"],
    }
    command.run([*make[kind], str(image)])
    device = command.run(["losetup", "--find", "--show", f"--sector-size={sector}", str(image)]).strip()
    try:
        command.run(["mount", "-n", device, str(where)])
        try:
            yield where
        finally:
            command.run(["umount", "-n", str(where)])
    finally:
        command.run(["losetup", "--detach", device])
