"""Where `virsh blockcopy` is never ready, and svmove ends: a guest that writes three times as fast as it is copied, and
a destination that takes 1.5 s for a write. Side by side, on a lab of its own; `make bench-converge`.

What the guest wrote meanwhile is printed with each row, as QEMU counts it: a slower machine's guest may not manage
three times, and then the row says so.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from svmove.lab import DOMAIN, DiskSpec, GuestSpec, Lab, report
from svmove.lab.specs import FIO_REGION
from svmove.model import Disk
from svmove.units import KiB, MiB, show_duration, show_rate
from tests.real.faults import storage
from tests.real.world import Place, World

_EXTENTS = ((FIO_REGION[0], FIO_REGION[1] - FIO_REGION[0]),)
# 96 random writes of 128 KiB a second, and each read again and checked: 12 MiB/s, three times what the copy has. So two
# thirds of the 64 MiB that it writes to stay dirty, however fine the bitmap.
WRITER = GuestSpec(
    name="writer",
    operating_system=True,
    memory=384 * MiB,
    write_iops=96,
    write_block=128 * KiB,
    disks=(DiskSpec(target="vda", capacity=192 * MiB, extents=_EXTENTS),),
)
_CAP = 4  # MiB/s
_HEAD = ("case", "by", "ended", "over after", "pause", "the guest wrote")
# Findings that say what was done for the copy to end.
_MEASURES = ("suspended-to-finish", "guest-throttled", "begun-again")
_MIRROR = ("--method", "mirror")  # else it is `synchronous` from the start, and no step is needed
# One row each: what it is called, the options, the policy.
_WAYS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("svmove", (), ""),
    ("svmove, a mirror", _MIRROR, ""),
    ("svmove, a mirror, suspend alone", (*_MIRROR, "--max-pause", "30s"), 'steps = ["suspend"]'),
    ("svmove, a mirror, throttle alone", _MIRROR, 'steps = ["throttle"]'),
    ("svmove, a mirror, synchronous alone", _MIRROR, 'steps = ["synchronous"]'),
    ("svmove, a mirror, and no step helps", (*_MIRROR, "--max-pause", "400ms"), 'steps = ["suspend"]'),
    (
        "svmove, a mirror, a longer pause at the deadline",
        (*_MIRROR, "--deadline", "40s"),
        'steps = []\nat_deadline = "longer-pause"\nlongest_pause = "30s"',
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    how: str
    seconds: float
    pause: float | None = None
    wrote: float = 0.0  # bytes per second of the guest, meanwhile


class Side:
    """One disk of a guest, moved to and fro."""

    def __init__(self, world: World, guest: str, target: str, cap: int | None) -> None:
        self._world, self._guest, self._target, self._cap = world, guest, target, cap

    def virsh(self, pool: str, folder: Path, patience: int) -> Ended:
        virsh, to = self._world.virsh, folder / "virsh.img"
        source = self._disk()
        command = ["virsh", "-c", self._world.lab.uri, "blockcopy", self._guest, self._target, "--dest", str(to)]
        command += ["--format", source.format, "--transient-job", "--wait", "--verbose", "--pivot"]
        command += ["--timeout", str(patience), *(["--bandwidth", str(self._cap)] if self._cap else [])]
        began, before = time.monotonic(), self._written()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        gave_up, wrote = time.monotonic(), self._written() - before
        # Its --timeout asks for the job's end, and does not wait for it.
        while self._disk().mirror is not None:
            time.sleep(0.5)
        seconds = time.monotonic() - began
        if self._disk().path == str(to):
            raise RuntimeError(f"virsh was ready after {seconds:.1f} s: no case for a comparison\n{done.stdout}")
        to.unlink(missing_ok=True)
        virsh("pool-refresh", pool)
        reached = (re.findall(r"(\d+(?:\.\d+)?) ?%", done.stdout + done.stderr) or ["0"])[-1]
        how = f"never ready: {reached} % when given up after {patience} s"
        return Ended(how=how, seconds=seconds, wrote=wrote / (gave_up - began))

    def svmove(self, pool: str, options: tuple[str, ...], converge: str) -> Ended:
        path = self._world.folder / "policy.toml"
        path.write_text(f"[converge]\n{converge}\n")
        words = ["--policy", str(path), "move", self._guest, "--to", pool, "--disk", self._target, "--json", *options]
        began, before = time.monotonic(), self._written()
        document = self._world.cli(*words, *(["--bandwidth", f"{self._cap}MiB/s"] if self._cap else [])).document
        seconds, error = time.monotonic() - began, document["error"]
        measures = [f["code"] for f in document["findings"] if f["code"] in _MEASURES]
        how = ", ".join([f"{document['state']}{': ' + error['code'] if error else ''}", document["method"], *measures])
        if error:
            print(error["text"], file=sys.stderr)
        pause = document["seconds"]["pause"]
        return Ended(how=how, seconds=seconds, pause=pause, wrote=(self._written() - before) / seconds)

    def _disk(self) -> Disk:
        found = self._world.domain(self._guest).disk(self._target)
        assert found is not None
        return found

    def _written(self) -> int:
        """Bytes that QEMU has counted since the guest's start."""
        domain = self._world.domain(self._guest)
        return self._world.hypervisor.writes(domain.uuid, self._target)[1]


@contextmanager
def a_world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        lab = Lab.open(Path(folder) / "lab")
        try:
            lab.up(lambda text: print(text, file=sys.stderr))
            yield World(Place(lab=lab), Path(folder))
        finally:
            lab.down(keep_cache=True)


def writer(world: World, patience: int, tell: Callable[[str, str, Ended], None]) -> None:
    world.virsh("suspend", DOMAIN)
    world.lab.add_guest(WRITER)
    console = world.lab.paths.console(WRITER.name)
    while not report.latest(report.read(console)[0]):
        time.sleep(0.5)
    side, case = Side(world, WRITER.name, "vda", _CAP), f"the guest wants 3 times the copy's {_CAP} MiB/s"
    tell(case, "virsh blockcopy --wait --pivot", side.virsh("lab-b", world.lab.paths.pool("lab-b"), patience))
    for way, options, policy in _WAYS:
        tell(case, way, side.svmove(world.other("vda", WRITER.name), options, policy))
    errors = [sample.errors for sample in report.latest(report.read(console)[0]).values()]
    assert errors == [0], "the guest read back what it had not written"
    world.lab.remove_guest(WRITER.name)
    world.virsh("resume", DOMAIN)


def slow(world: World, patience: int, tell: Callable[[str, str, Ended], None]) -> None:
    case = "the destination takes 1.5 s for a write"
    with storage.failing(world, delay_write="1500ms") as disk:
        side = Side(world, DOMAIN, "vdb", None)
        tell(case, "virsh blockcopy --wait --pivot", side.virsh(disk.pool.name, disk.pool.folder, patience))
        tell(case, "svmove", side.svmove(disk.pool.name, (), ""))
        world.lab.check()


def main(patience: int = 60, only: str = "") -> None:
    """`patience`: seconds that virsh is given. `only`: "writer" or "slow"."""
    rows: list[tuple[str, ...]] = []

    def tell(case: str, way: str, ended: Ended) -> None:
        pause = "" if not ended.pause else show_duration(ended.pause)
        rows.append((case, way, ended.how, show_duration(ended.seconds), pause, show_rate(round(ended.wrote))))
        print(json.dumps(rows[-1]), file=sys.stderr)

    with a_world() as world:
        for scenario in (writer, slow):
            if only in ("", scenario.__name__):
                scenario(world, patience, tell)
    print("| " + " | ".join(_HEAD) + " |\n|" + " --- |" * len(_HEAD))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    typer.run(main)
