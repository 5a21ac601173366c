"""Where `virsh blockcopy` is never ready, and svmove ends: a guest that writes three times as fast as it is copied, and
a destination that takes 1.5 s for a write. Side by side, on a lab of its own; `make bench-converge`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from svmove.lab import DOMAIN, DiskSpec, GuestSpec, Lab, report
from svmove.lab.specs import FIO_REGION
from svmove.units import MiB, show_duration
from svmove.view import tables
from tests.real.faults import storage
from tests.real.world import World

_EXTENTS = ((FIO_REGION[0], FIO_REGION[1] - FIO_REGION[0]),)
# 600 random writes of 4 KiB a second make 37 MiB/s dirty in granules of 64 KiB, three times what the copy has.
WRITER = GuestSpec(
    name="writer",
    operating_system=True,
    memory=384 * MiB,
    write_iops=600,
    disks=tuple(DiskSpec(target=target, capacity=192 * MiB, extents=_EXTENTS) for target in ("vda", "vdb")),
)
_CAP = 12  # MiB/s
_COARSE = '[mirror]\ngranularity = "64KiB"\n'
_WAYS = {
    "svmove, as it is": "",
    "svmove, 64 KiB granules": _COARSE,
    "svmove, 64 KiB, only suspend": f'{_COARSE}[move]\nmax_pause = "10s"\n[converge]\nsteps = ["suspend"]\n',
    "svmove, 64 KiB, only throttle": f'{_COARSE}[converge]\nsteps = ["throttle"]\nfloor_iops = 20\n'
    'floor_rate = "128KiB/s"\n',
    "svmove, 64 KiB, only synchronous": f'{_COARSE}[converge]\nsteps = ["synchronous"]\n',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    how: str
    seconds: float
    pause: float | None = None


class Side:
    """One disk of a guest, moved to and fro."""

    def __init__(self, world: World, guest: str, target: str, cap: int | None) -> None:
        self._world, self._guest, self._target, self._cap = world, guest, target, cap

    def virsh(self, pool: str, folder: Path, patience: int) -> Ended:
        virsh, to = self._world.virsh, folder / "virsh.img"
        source = self._world.domain(self._guest).disk(self._target)
        assert source is not None
        command = ["virsh", "-c", self._world.lab.uri, "blockcopy", self._guest, self._target, "--dest", str(to)]
        command += ["--format", source.format, "--transient-job", "--wait", "--pivot", "--timeout", str(patience)]
        began = time.monotonic()
        done = subprocess.run(
            command + (["--bandwidth", str(self._cap)] if self._cap else []),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        # Its --timeout asks for the job's end, and does not wait for it.
        while (disk := self._world.domain(self._guest).disk(self._target)) is not None and disk.mirror is not None:
            time.sleep(0.5)
        if disk is None or disk.path == str(to):
            raise RuntimeError(f"virsh was ready after {seconds:.1f} s: no case for a comparison\n{done.stdout}")
        to.unlink(missing_ok=True)
        virsh("pool-refresh", pool)
        return Ended(how=f"never ready, given up after {patience} s", seconds=seconds)

    def svmove(self, pool: str, policy: str) -> Ended:
        path = self._world.folder / "policy.toml"
        path.write_text(policy)
        words = ["--policy", str(path), "move", self._guest, "--to", pool, "--disk", self._target, "--json"]
        began = time.monotonic()
        document = self._world.cli(*words, *(["--bandwidth", f"{self._cap}MiB/s"] if self._cap else [])).document
        error = document["error"]
        measures = [f["code"] for f in document["findings"] if f["level"] == "note"]
        how = ", ".join([document["state"] + (f": {error['code']}" if error else ""), *measures])
        if error:
            print(error["text"], file=sys.stderr)
        return Ended(how=how, seconds=time.monotonic() - began, pause=document["seconds"]["pause"])


@contextmanager
def a_world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        lab = Lab.open(Path(folder) / "lab")
        try:
            lab.up(lambda text: print(text, file=sys.stderr))
            yield World(lab, Path(folder))
        finally:
            lab.down(keep_cache=True)


def writer(world: World, patience: int, tell: Callable[[str, str, Ended], None]) -> None:
    world.virsh("suspend", DOMAIN)
    world.lab.add_guest(WRITER)
    while len(report.latest(report.read(world.lab.paths.console(WRITER.name))[0])) < 2:
        time.sleep(0.5)
    side, case = Side(world, WRITER.name, "vda", _CAP), f"the guest dirties 3 times the copy's {_CAP} MiB/s"
    tell(case, "virsh blockcopy --wait --pivot", side.virsh("lab-b", world.lab.paths.pool("lab-b"), patience))
    for way, policy in _WAYS.items():
        tell(case, way, side.svmove(world.other("vda", WRITER.name), policy))
    errors = [sample.errors for sample in report.latest(report.read(world.lab.paths.console(WRITER.name))[0]).values()]
    assert errors == [0, 0], "the guest read back what it had not written"
    world.lab.remove_guest(WRITER.name)
    world.virsh("resume", DOMAIN)


def slow(world: World, patience: int, tell: Callable[[str, str, Ended], None]) -> None:
    case = "the destination takes 1.5 s for a write"
    with storage.failing(world, delay_write="1500ms") as disk:
        side = Side(world, DOMAIN, "vdb", None)
        tell(case, "virsh blockcopy --wait --pivot", side.virsh(disk.pool.name, disk.pool.folder, patience))
        tell(case, "svmove, as it is", side.svmove(disk.pool.name, ""))
        world.lab.check()


def main(patience: int = 60, only: str = "") -> None:
    """`patience`: seconds that virsh is given. `only`: "writer" or "slow"."""
    rows: list[tuple[str, ...]] = []

    def tell(case: str, way: str, ended: Ended) -> None:
        pause = "" if ended.pause is None else show_duration(ended.pause)
        rows.append((case, way, ended.how, show_duration(ended.seconds), pause))
        print(json.dumps(rows[-1]), file=sys.stderr)

    with a_world() as world:
        for scenario in (writer, slow):
            if only in ("", scenario.__name__):
                scenario(world, patience, tell)
    console = Console(highlight=False, width=150)
    console.print(tables.table(("case", "by", "ended", "after", "pause"), rows, right=("after", "pause")))


if __name__ == "__main__":
    typer.run(main)
