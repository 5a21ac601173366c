"""Old against new: the methods side by side, on an idle guest and on one that writes, turn by turn, medians.

Each pool lies on a file system of its own, on a loop device of its own, so that what is written to the destination is
counted by its device. `snapshot` runs once more between two pools on one XFS, where nothing is copied.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from lxml.builder import E
from rich.console import Console

from svmove.host.local import LocalHost
from svmove.lab import DiskSpec, GuestSpec, Lab, report
from svmove.lab.command import run
from svmove.lab.specs import FIO_REGION
from svmove.lab.watch import Watch
from svmove.units import GiB, MiB, show_duration
from svmove.view import tables

_METHODS = ("snapshot", "mirror", "synchronous")
_TICKS = os.sysconf("SC_CLK_TCK")
# Seconds over which the guest's writes and the processes' idle cost are measured before a move.
_BEFORE = 5.0
_EXTENTS = (
    (FIO_REGION[0], FIO_REGION[1] - FIO_REGION[0]),
    *((256 * MiB + n * 192 * MiB, 128 * MiB) for n in range(8)),
)


def _guest(name: str, pool: str, *, writes: bool) -> GuestSpec:
    """1.1 GiB of data on the disk that moves; a guest that writes wants a second one, which stays."""
    disks = [DiskSpec(target="vda", capacity=2 * GiB, pool=pool, extents=_EXTENTS)]
    if writes:
        disks.append(DiskSpec(target="vdb", capacity=192 * MiB, extents=_EXTENTS[:1]))
    return GuestSpec(
        name=name,
        operating_system=writes,
        memory=(384 if writes else 64) * MiB,
        write_iops=200,
        disks=tuple(disks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A pool on a file system; `device` counts what is written to it."""

    pool: str
    folder: Path
    device: str

    def written(self) -> int:
        """Bytes, since the device was made."""
        fields = (Path("/sys/block") / Path(self.device).name / "stat").read_text().split()
        return int(fields[6]) * 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    seconds: float
    cpu: float  # seconds of host CPU per GiB allocated, beyond what the guest costs anyway
    felt: float | None  # the guest's longest wait
    writes: float | None  # the guest's rate during the move, as a share of before
    written: float  # to the destination, as a multiple of what is allocated


class Subject:
    """One guest, moved to and fro between two places."""

    def __init__(self, lab: Lab, guest: GuestSpec, places: tuple[Place, Place], journal: Path) -> None:
        self._lab, self._guest, self._places, self._journal = lab, guest, places, journal
        self._console = lab.paths.console(guest.name)

    def turn(self, method: str) -> Turn:
        here = self._file()
        to = next(place for place in self._places if place.folder != here.parent)
        allocated = here.stat().st_blocks * 512
        os.sync()
        with self._watched() as watch:
            idle, writes_before = self._over(lambda: time.sleep(_BEFORE))
            before, cpu_before = to.written(), self._cpu()
            began = time.monotonic()
            writes_then = self._writes()
            children = os.times()
            self._svmove(method, to.pool)
            seconds = time.monotonic() - began
            now = os.times()
            ours = now.children_user + now.children_system - children.children_user - children.children_system
            theirs = self._cpu() - cpu_before - idle * seconds
            during = (self._writes() - writes_then) / seconds
            run(["sync", "-f", to.folder])
            written = to.written() - before
        felt = watch.pause.felt if watch is not None and watch.pause is not None else None
        return Turn(
            seconds=seconds,
            cpu=(ours + max(theirs, 0.0)) * GiB / allocated,
            felt=felt,
            writes=during / writes_before if writes_before else None,
            written=written / allocated,
        )

    @contextmanager
    def _watched(self) -> Iterator[Watch | None]:
        if not self._guest.operating_system:
            yield None
            return
        with Watch(self._console) as watch:
            yield watch

    def _over(self, wait: Callable[[], None]) -> tuple[float, float]:
        """What the processes cost, and the guest writes, a second."""
        began, cpu, writes = time.monotonic(), self._cpu(), self._writes()
        wait()
        seconds = time.monotonic() - began
        return (self._cpu() - cpu) / seconds, (self._writes() - writes) / seconds

    def _writes(self) -> float:
        sample = report.latest(report.current_boot(report.tail(self._console))).get("vda")
        return sample.writes if sample else 0

    def _cpu(self) -> float:
        """Seconds, of QEMU and libvirtd."""
        uuid = self._lab.virsh("domuuid", self._guest.name)
        process = LocalHost().process(uuid)
        pids = [pid for pid in (self._lab.daemon.pid(), process.pid if process else None) if pid is not None]
        return sum(_cpu_of(pid) for pid in pids)

    def _file(self) -> Path:
        words = (line.split() for line in self._lab.virsh("domblklist", self._guest.name).splitlines())
        return next(Path(found[1]) for found in words if found and found[0] == "vda")

    def _svmove(self, method: str, to: str) -> None:
        command = [str(Path(sys.executable).with_name("svmove")), "--connect", self._lab.uri]
        command += ["--journal", str(self._journal), "move", self._guest.name, "--disk", f"vda={to}"]
        done = subprocess.run([*command, "--method", method, "--json"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{method}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        if json.loads(done.stdout)["method"] != method:
            raise RuntimeError(f"not {method}: {done.stdout}")


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def place(lab: Lab, folder: Path, device: str, name: str) -> Iterator[Place]:
    """A pool in a folder of its own on a mounted file system."""
    inside = folder / name
    inside.mkdir()
    pool = E.pool(E.name(name), E.target(E.path(str(inside))), type="dir")
    lab.virsh.define("pool-define", pool)
    lab.virsh("pool-start", name)
    yield Place(pool=name, folder=inside, device=device)  # it goes with the lab


@contextmanager
def filesystem(lab: Lab, folder: Path, name: str, *make: str) -> Iterator[tuple[Path, str]]:
    """Mounted here, and in the namespace of the lab's daemon; and its device."""
    image, mount = folder / f"{name}.img", folder / name
    run(["truncate", "-s", "6G", image])
    run([*make, image])
    mount.mkdir()
    with ExitStack() as stack:
        device = run(["losetup", "--find", "--show", "--direct-io=on", image]).strip()
        stack.callback(run, ["losetup", "--detach", device])
        for prefix in ([], ["nsenter", "--mount", f"--target={lab.daemon.pid()}"]):
            run([*prefix, "mount", "-n", device, mount])
            stack.callback(_unmount, [*prefix, "umount", "-n", str(mount)])
        mount.chmod(0o711)
        yield mount, device


def _unmount(command: Sequence[str]) -> None:
    subprocess.run(command, capture_output=True, check=False)  # the daemon's namespace may be gone by then


def show(console: Console, turns: dict[tuple[str, str], list[Turn]]) -> None:
    rows = []
    for (guest, method), found in turns.items():
        felt = [turn.felt for turn in found if turn.felt is not None]
        writes = [turn.writes for turn in found if turn.writes is not None]
        rows.append(
            (
                guest,
                method,
                show_duration(statistics.median(turn.seconds for turn in found)),
                f"{statistics.median(turn.cpu for turn in found):.1f} s",
                show_duration(statistics.median(felt)) if felt else "",
                f"{100 * statistics.median(writes):.0f} %" if writes else "",
                f"{statistics.median(turn.written for turn in found):.2f}",
            )
        )
    headings = (
        "guest", "method", "time", "host CPU per GiB", "guest's longest wait", "its writes, of before",
        "written / allocated",
    )  # fmt: skip
    console.print(tables.table(headings, rows, right=headings[2:]))


def main(rounds: int = 5) -> None:
    """Starts a lab of its own, measures, and leaves nothing behind."""
    turns: dict[tuple[str, str], list[Turn]] = {}
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        lab = Lab.open(folder / "lab")
        lab.up(lambda text: print(text, file=sys.stderr))
        lab.virsh("suspend", lab.domain_name)  # it would take a core from the measure
        ext4 = [filesystem(lab, folder, f"ext4-{n}", "mkfs.ext4", "-q", "-F") for n in "ab"]
        mounted = [stack.enter_context(one) for one in ext4]
        xfs, device = stack.enter_context(filesystem(lab, folder, "xfs", "mkfs.xfs", "-q", "-m", "reflink=1"))
        stack.callback(lab.down, keep_cache=True)  # before the file systems go
        two = tuple(
            stack.enter_context(place(lab, mount, dev, f"bench-{n}"))
            for n, (mount, dev) in zip("ab", mounted, strict=True)
        )
        one = tuple(stack.enter_context(place(lab, xfs, device, f"reflink-{n}")) for n in "ab")
        for kind, writes in (("idle", False), ("writing", True)):
            for places, methods in ((two, _METHODS), (one, ("snapshot",))):
                guest = _guest(f"{kind}-{places[0].pool}", places[0].pool, writes=writes)
                lab.add_guest(guest)
                time.sleep(10 if writes else 2)
                subject = Subject(lab, guest, (places[0], places[1]), folder / "journal.sqlite")
                for number in range(rounds):
                    for method in methods[number % len(methods) :] + methods[: number % len(methods)]:
                        label = method + (", one XFS" if places is one else "")
                        turn = subject.turn(method)
                        turns.setdefault((kind, label), []).append(turn)
                        print(f"{kind} {number + 1} {label}: {turn}", file=sys.stderr)
                lab.remove_guest(guest.name)
    show(Console(highlight=False, width=150), dict(sorted(turns.items())))


if __name__ == "__main__":
    typer.run(main)
