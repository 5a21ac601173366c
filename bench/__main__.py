"""svmove against `virsh blockcopy --wait --pivot`, on the same disk, turn by turn.

Both copy the guest's vda to the other pool and leave the source, which is deleted outside the measure: virsh
knows no other way. Interleaved, the order changing from pair to pair, medians: machines are noisy.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console

from bench.runs import LARGE, Bench, Run, Verified
from svmove.lab import DOMAIN, Lab
from svmove.units import MiB, show_duration, show_size
from svmove.view import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    guest: str
    pairs: tuple[tuple[Run, Run], ...]  # svmove, virsh
    verified: tuple[Verified, ...]

    @property
    def ratio(self) -> float:
        """Median of the pairs' wall-time ratios; below 1, svmove is faster."""
        return statistics.median(ours.seconds / theirs.seconds for ours, theirs in self.pairs)

    @property
    def verification(self) -> float:
        """The verification's seconds as a multiple of the copy's, median."""
        return statistics.median(run.verify / run.copy for run in self.verified)

    @property
    def memory(self) -> int:
        """Bytes at the peak, of the largest of svmove's processes."""
        return max(run.memory for run in [ours for ours, _ in self.pairs] + [v.run for v in self.verified])


def measure(bench: Bench, guest: str, pairs: int, verified: int) -> Result:
    bench.svmove()  # warms up: the pools' first refresh, the guest's page cache
    turns = []
    for number in range(pairs):
        ours = bench.svmove() if number % 2 == 0 else None
        theirs = bench.virsh()
        ours = ours or bench.svmove()
        print(f"{guest} {number + 1}: svmove {ours.seconds:.2f} s, virsh {theirs.seconds:.2f} s", file=sys.stderr)
        turns.append((ours, theirs))
    return Result(guest=guest, pairs=tuple(turns), verified=tuple(bench.verified() for _ in range(verified)))


def show(console: Console, results: Iterable[Result]) -> None:
    rows = []
    for result in results:
        ours, theirs = zip(*result.pairs, strict=True)
        rows += [
            (result.guest, "vda, wall time", _seconds(ours), _seconds(theirs), f"{result.ratio:.2f}", "0.95"),
            (result.guest, "guest's clock stood", _pause(ours, "suspended"), _pause(theirs, "suspended"), "", ""),
            (result.guest, "guest's worst write", _pause(ours, "worst_write"), _pause(theirs, "worst_write"), "", ""),
            (result.guest, "all disks, copy", _of(result.verified, "copy"), "", "", ""),
            (
                result.guest,
                "verification / copy",
                _of(result.verified, "verify"),
                "",
                f"{result.verification:.2f}",
                "1.2",
            ),
            (result.guest, "pause, outer bound", _of(result.verified, "pause"), "", "", ""),
            (result.guest, "peak memory", show_size(result.memory), "", "", show_size(150 * MiB)),
        ]
    headings = ("guest", "median", "svmove", "virsh blockcopy", "ratio", "goal, at most")
    console.print(tables.table(headings, [row for row in rows if row[2] != "-"], right=headings[2:]))


def _seconds(runs: Iterable[Run]) -> str:
    return show_duration(statistics.median(run.seconds for run in runs))


def _pause(runs: Iterable[Run], name: str) -> str:
    found = [getattr(run.pause, name) for run in runs if run.pause is not None]
    return show_duration(statistics.median(found)) if found else "-"


def _of(runs: Iterable[Verified], name: str) -> str:
    return show_duration(statistics.median(getattr(run, name) for run in runs))


def main(pairs: int = 5, verified: int = 3, as_json: bool = False) -> None:
    """Starts a lab of its own, measures, and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        lab = Lab.open(Path(folder) / "lab")
        try:
            lab.up(lambda text: print(text, file=sys.stderr))
            results = [measure(Bench(lab, DOMAIN, Path(folder)), DOMAIN, pairs, verified)]
            lab.check()
            # The guest that writes would take a core from the measure of the one that is idle.
            lab.virsh("suspend", DOMAIN)
            lab.add_guest(LARGE)
            results.append(measure(Bench(lab, LARGE.name, Path(folder)), LARGE.name, pairs, verified))
        finally:
            lab.down(keep_cache=True)
    if as_json:
        print(json.dumps([{**asdict(r), "ratio": r.ratio, "verification": r.verification} for r in results]))
    else:
        show(Console(highlight=False, width=130), results)


if __name__ == "__main__":
    typer.run(main)
