"""Storage that fails: a file system that is too small, and a disk that fails, hangs, is slow, or is gone.

The failing disk is real down to the block layer: an nbdkit server with fault filters, shown as a file by nbdfuse,
under a loop device, under ext4, under a libvirt pool.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from svmove.lab.command import run
from svmove.units import GiB
from tests.real.filesystems import Pool, filesystem, fill, loop, made, pool, small, unmount
from tests.real.world import World, until

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
        stack.callback(unmount, [], fuse)
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


__all__ = ["FailingDisk", "Pool", "failing", "filesystem", "fill", "loop", "made", "pool", "small"]
