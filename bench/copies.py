"""A frozen file from one file system to another: svmove against `cp`, one `qemu-img convert`, and other ways to do it.

`python -m bench.copies`; root; two loop devices past the page cache, each with an ext4.
Interleaved, cold caches, medians of 5; each copy is on stable storage before the clock is stopped, and compared once.
"""

import filecmp
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer
from rich.console import Console

from svmove.host.local import LocalHost
from svmove.host.slices import data
from svmove.units import GiB, MiB
from svmove.view import tables

_SIZE = 1 * GiB
_QEMU_IMG = ("qemu-img", "convert", "-q", "-f", "raw", "-O", "raw", "-m", "16", "-W")

Way = Callable[[Path, Path], None]


def svmove(source: Path, destination: Path) -> None:
    LocalHost().copy_image(
        str(source),
        "raw",
        str(destination),
        "raw",
        length=None,
        begin=0,
        bandwidth=lambda: None,
        saved=lambda _offset, _end: True,
    )


def one_thread(source: Path, destination: Path) -> None:
    """Read, write, and every half second wait for the disk; through the page cache."""
    with source.open("rb") as reader, destination.open("r+b") as writer:
        writer.truncate(_SIZE)
        told = time.monotonic()
        for offset, length in data(reader.fileno(), 0, _SIZE):
            for at in range(offset, offset + length, 4 * MiB):
                size = min(4 * MiB, offset + length - at)
                os.pwrite(writer.fileno(), os.pread(reader.fileno(), size, at), at)
                os.posix_fadvise(reader.fileno(), at, size, os.POSIX_FADV_DONTNEED)
                if time.monotonic() - told >= 0.5:
                    os.fdatasync(writer.fileno())
                    told = time.monotonic()
        os.fsync(writer.fileno())


def four_threads(source: Path, destination: Path) -> None:
    """Python past the page cache."""
    os.truncate(destination, _SIZE)
    reader, writer = os.open(source, os.O_RDONLY | os.O_DIRECT), os.open(destination, os.O_RDWR | os.O_DIRECT)
    pieces = (
        (at, min(2 * MiB, offset + length - at))
        for offset, length in data(reader, 0, _SIZE)
        for at in range(offset, offset + length, 2 * MiB)
    )
    lock = threading.Lock()

    def work() -> None:
        with mmap.mmap(-1, 2 * MiB) as buffer, memoryview(buffer) as view:
            while True:
                with lock:
                    found = next(pieces, None)
                if found is None:
                    return
                at, length = found
                with view[:length] as piece:
                    os.preadv(reader, [piece], at)
                    os.pwritev(writer, [piece], at)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fsync(writer)
    os.close(reader)
    os.close(writer)


def command(*argv: str) -> Way:
    def run(source: Path, destination: Path) -> None:
        subprocess.run([*argv, str(source), str(destination)], check=True)
        with destination.open("r+b") as file:
            os.fsync(file.fileno())

    return run


WAYS: Mapping[str, Way] = {
    "svmove": svmove,
    "read and write in one thread (svmove before)": one_thread,
    "four threads of Python, O_DIRECT": four_threads,
    "cp --sparse=always; sync": command("cp", "--sparse=always"),
    "qemu-img convert -W, the whole; sync": command(*_QEMU_IMG),
    "qemu-img convert -W -t none -T none, the whole; sync": command(*_QEMU_IMG, "-t", "none", "-T", "none"),
}


def made(folder: Path) -> list[Path]:
    """One file of random bytes, and one of which every second MiB is a hole."""
    full, half = folder / "full", folder / "half sparse"
    for path, step in ((full, MiB), (half, 2 * MiB)):
        with path.open("wb") as file:
            file.truncate(_SIZE)
            for at in range(0, _SIZE, step):
                file.seek(at)
                file.write(os.urandom(MiB))
    return [full, half]


@contextmanager
def mounted(folder: Path, name: str) -> Iterator[Path]:
    image, where = folder / f"{name}.img", folder / name
    where.mkdir()
    # Written before, or the first way to write to it would pay for allocating it.
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={image}", "bs=4M", "count=640", "oflag=direct", "status=none"], check=True
    )
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    attach = ["losetup", "--find", "--show", "--direct-io=on", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", "-n", device, where], check=True)
        try:
            yield where
        finally:
            subprocess.run(["umount", "-n", where], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def measured(way: Way, source: Path, destination: Path) -> tuple[float, float]:
    """Seconds, and of all processors."""
    destination.unlink(missing_ok=True)
    destination.touch()
    subprocess.run(["sync", "-f", source.parent, destination.parent], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")
    before, began = os.times(), time.monotonic()
    way(source, destination)
    seconds, after = time.monotonic() - began, os.times()
    return seconds, sum(after[:4]) - sum(before[:4])


def main(runs: int = 5) -> None:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp")))
        here, there = (stack.enter_context(mounted(folder, name)) for name in ("here", "there"))
        for source in made(here):
            for number in range(runs):
                for name, way in WAYS.items():
                    took = measured(way, source, there / "copy")
                    print(f"{source.name} {number + 1}: {name}: {took[0]:.2f} s", file=sys.stderr)
                    found.setdefault((source.name, name), []).append(took)
                    if number == 0 and not filecmp.cmp(source, there / "copy", shallow=False):
                        raise SystemExit(f"{name}: not equal")
    rows = [
        [
            source,
            name,
            f"{statistics.median(seconds for seconds, _ in took):.2f} s",
            f"{min(took)[0]:.2f} to {max(took)[0]:.2f} s",
            f"{statistics.median(cpu for _, cpu in took):.2f} s",
        ]
        for (source, name), took in found.items()
    ]
    Console(width=140).print(tables.table(["file", "way", "median", "from, to", "CPU"], rows))


if __name__ == "__main__":
    typer.run(main)
