"""Storage that fails: a file system that is too small, and a disk that fails, hangs, is slow, or is gone.

The failing disk is real down to the block layer: an nbdkit server with fault filters, shown as a file by nbdfuse,
under a loop device, under ext4, under a libvirt pool. Each file system is mounted twice, here and in the mount
namespace of the lab's daemon, since the host's mounts are private there.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lxml.builder import E

from svmove.lab.command import run
from svmove.lab.errors import LabError
from svmove.units import GiB
from tests.real.world import World, until


@dataclass(frozen=True)
class Pool:
    name: str
    folder: Path


@contextmanager
def filesystem(world: World, device: str, folder: Path) -> Iterator[Path]:
    """`device` mounted at `folder`, here and for the lab's daemon and its guests."""
    inside = ["nsenter", "--mount", f"--target={world.lab.daemon.pid()}"]
    folder.mkdir()
    with ExitStack() as stack:
        for prefix in ([], inside):
            run([*prefix, "mount", "-n", device, folder])
            stack.callback(_unmount, prefix, folder)
        folder.chmod(0o755)
        yield folder


def _unmount(prefix: list[str], folder: Path) -> None:
    """Lazily, if somebody still holds it: a disk that is gone can't be waited for."""
    with suppress(LabError):
        run([*prefix, "umount", "-n", folder], timeout=20)
        return
    with suppress(LabError):
        run([*prefix, "umount", "-n", "--lazy", folder], timeout=20)


@contextmanager
def pool(world: World, folder: Path, name: str = "faulty") -> Iterator[Pool]:
    element = E.pool(E.name(name), E.target(E.path(str(folder))), type="dir")
    world.virsh.define("pool-define", element)
    try:
        world.virsh("pool-start", name)
        yield Pool(name, folder)
    finally:
        with suppress(LabError):
            world.virsh("pool-destroy", name)
        with suppress(LabError):
            world.virsh("pool-undefine", name)


@contextmanager
def loop(image: Path) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", image]).strip()
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
    """A file system of that size and kind, mounted."""
    image = world.folder / f"{name}.img"
    run(["truncate", "-s", size, image])
    run([*_MAKE[kind], image])
    with loop(image) as device, filesystem(world, device, world.folder / name) as folder:
        yield folder


@contextmanager
def small(world: World, size: str, name: str = "faulty", kind: str = "ext4") -> Iterator[Pool]:
    """A pool on a file system of that size."""
    with made(world, size, kind, name) as folder, pool(world, folder, name) as p:
        yield p


# A rate that nothing reaches here.
FAST = 100 * GiB


class FailingDisk:
    def __init__(self, folder: Path, server: "subprocess.Popen[bytes]") -> None:
        self._folder, self._server = folder, server
        self.pool = Pool("faulty", folder / "mnt")

    def fail_writes(self) -> None:
        (self._folder / "eio-pwrite").touch()

    def fail_reads(self) -> None:
        (self._folder / "eio-pread").touch()

    def recover(self) -> None:
        for name in ("eio-pwrite", "eio-pread"):
            (self._folder / name).unlink(missing_ok=True)

    def slow_down(self, rate: int | None) -> None:
        """From now on it takes and gives so many bytes a second in all; None: as fast as it goes."""
        new = self._folder / "rate.new"
        new.write_text(f"{(rate or FAST) * 8}\n")
        new.rename(self._folder / "rate")  # nbdkit reads it at the next request

    def stop(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()


@contextmanager
def failing(world: World, *, delay_write: str = "0") -> Iterator[FailingDisk]:
    """A pool on a disk that can be told to fail. `delay_write`: such as "1500ms", for each write."""
    folder = world.folder / "disk"
    folder.mkdir()
    image, socket, fuse = folder / "image", folder / "sock", folder / "fuse"
    run(["truncate", "-s", "3G", image])
    run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image])
    fuse.mkdir()
    with ExitStack() as stack:
        filters = ["--filter=error", "--filter=delay", "--filter=rate"]
        faults = [
            f"{prefix}{end}"
            for call in ("pwrite", "pread")
            for prefix, end in (
                (f"error-{call}=", "EIO"),
                (f"error-{call}-rate=", "100%"),
                (f"error-{call}-file=", str(folder / f"eio-{call}")),
            )
        ]
        argv = ["nbdkit", "-f", "-U", str(socket), *filters, "file", str(image), f"delay-write={delay_write}", *faults]
        argv.append(f"rate-file={folder / 'rate'}")
        server = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        stack.callback(_end, server)
        until(socket.exists, "nbdkit listens")
        shown = subprocess.Popen(
            ["nbdfuse", str(fuse / "disk"), f"nbd+unix:///?socket={socket}"], stderr=subprocess.DEVNULL
        )
        stack.callback(_end, shown)
        stack.callback(_unmount, [], fuse)
        until((fuse / "disk").exists, "nbdfuse shows the disk")
        device = stack.enter_context(loop(fuse / "disk"))
        stack.enter_context(filesystem(world, device, folder / "mnt"))
        found = FailingDisk(folder, server)
        stack.enter_context(pool(world, folder / "mnt"))
        # First of all on the way out, or everything after it would wait for the disk.
        stack.callback(_heal, found, server)
        yield found


def _heal(disk: FailingDisk, server: "subprocess.Popen[bytes]") -> None:
    disk.recover()
    disk.slow_down(None)
    if server.poll() is None:
        server.send_signal(signal.SIGCONT)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()


def fill(folder: Path, leave: int) -> Path:
    """Fills the file system until `leave` bytes are free."""
    path = folder / "filling"
    found = os.statvfs(folder)
    size = found.f_bavail * found.f_frsize - leave
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    return path
