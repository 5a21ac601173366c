"""File systems, loop devices and pools on them, as the tests make and take them away.

Each file system is mounted here and in the mount namespace of the lab's daemon: where the host's mounts are shared, as
systemd makes them, the daemon's namespace has it by itself; where they are private, it is mounted twice.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import run
from svmove.lab.errors import LabError
from tests.real.world import World


@dataclass(frozen=True)
class Pool:
    name: str
    folder: Path


@contextmanager
def filesystem(world: World, device: str, folder: Path) -> Iterator[Path]:
    """`device` mounted at `folder`, here and for the lab's daemon and its guests."""
    inside = _inside(world)
    folder.mkdir()
    with ExitStack() as stack:
        for prefix in ([], inside):
            if not _is_mounted(prefix, folder):
                run([*prefix, "mount", "-n", device, folder])
                stack.callback(unmount, prefix, folder)
        folder.chmod(0o755)
        yield folder


def _inside(world: World) -> list[str]:
    return ["nsenter", "--mount", f"--target={world.lab.daemon.pid()}"]


def _is_mounted(prefix: list[str], folder: Path) -> bool:
    with suppress(LabError):
        run([*prefix, "mountpoint", "-q", folder])
        return True
    return False


def unmount(prefix: list[str], folder: Path) -> None:
    """Lazily, if somebody still holds it: a disk that is gone can't be waited for."""
    with suppress(LabError):
        run([*prefix, "umount", "-n", folder], timeout=20)
        return
    with suppress(LabError):
        run([*prefix, "umount", "-n", "--lazy", folder], timeout=20)


@contextmanager
def pool(world: World, folder: Path, name: str = "faulty") -> Iterator[Pool]:
    with defined(world, E.pool(E.name(name), E.target(E.path(str(folder))), type="dir")):
        yield Pool(name, folder)


@contextmanager
def defined(world: World, element: etree._Element) -> Iterator[str]:
    """A pool of any kind, started; its name."""
    name = element.findtext("name") or ""
    world.virsh.define("pool-define", element)
    try:
        world.virsh("pool-start", name)
        yield name
    finally:
        with suppress(LabError):
            world.virsh("pool-destroy", name)
        with suppress(LabError):
            world.virsh("pool-undefine", name)


@contextmanager
def loop(image: Path, *options: str) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", *options, image]).strip()
    try:
        yield device
    finally:
        with suppress(LabError):
            run(["losetup", "--detach", device])


_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@contextmanager
def made(world: World, size: str, kind: str = "ext4", name: str = "faulty") -> Iterator[Path]:
    """A file system of that size and kind (ext4, xfs with reflink, btrfs, tmpfs; ramfs, which has none), mounted."""
    folder = world.folder / name
    if kind in ("tmpfs", "ramfs"):
        with _in_memory(world, kind, size, folder):
            yield folder
        return
    image = world.folder / f"{name}.img"
    run(["truncate", "-s", size, image])
    run([*_MAKE[kind], image])
    with loop(image) as device, filesystem(world, device, folder):
        yield folder


# Each mount of a tmpfs is a new one, and no bind goes from one mount namespace to another. A mount can be taken along,
# though: open_tree(AT_FDCWD, folder, OPEN_TREE_CLONE | O_CLOEXEC), setns, move_mount(..., MOVE_MOUNT_F_EMPTY_PATH).
_TAKE_ALONG = """
import ctypes, os, sys
libc, folder = ctypes.CDLL(None, use_errno=True), os.fsencode(sys.argv[2])
def demand(result):
    if result < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return result
tree = demand(libc.syscall(428, -100, folder, 0o2000001))
demand(libc.setns(os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY), 0x20000))
demand(libc.syscall(429, tree, b"", -100, folder, 4))
"""


@contextmanager
def _in_memory(world: World, kind: str, size: str, folder: Path) -> Iterator[Path]:
    inside, options = _inside(world), f"size={size}," if kind == "tmpfs" else ""
    folder.mkdir()
    with ExitStack() as stack:
        run(["mount", "-n", "-t", kind, "-o", f"{options}mode=755", kind, folder])
        stack.callback(unmount, [], folder)
        if not _is_mounted(inside, folder):
            run([sys.executable, "-c", _TAKE_ALONG, str(world.lab.daemon.pid()), folder])
            stack.callback(unmount, inside, folder)
        yield folder


@contextmanager
def small(world: World, size: str, name: str = "faulty", kind: str = "ext4") -> Iterator[Pool]:
    """A pool on a file system of that size."""
    with made(world, size, kind, name) as folder, pool(world, folder, name) as p:
        yield p


def fill(folder: Path, leave: int) -> Path:
    """Fills the file system until `leave` bytes are free."""
    path = folder / "filling"
    found = os.statvfs(folder)
    size = found.f_bavail * found.f_frsize - leave
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    return path
