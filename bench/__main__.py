"""svmove against `virsh blockcopy --wait --pivot`, on the same disk, turn by turn.

Both copy the guest's vda to the other pool and leave the source, which is deleted outside the measure: virsh
knows no other way. Interleaved, the order changing from pair to pair, medians: machines are noisy.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console

from bench.runs import Bench, Run, Verified
from svmove.lab import Lab
from svmove.units import MiB, show_duration, show_size
from svmove.view import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
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
        return max(run.memory for run in [ours for ours, _ in self.pairs] + [v.run for v in self.verified])


def measure(bench: Bench, pairs: int, verified: int) -> Result:
    bench.svmove()  # warms up: page cache, pools' first refresh
    turns = []
    for number in range(pairs):
        if number % 2 == 0:
            ours = bench.svmove()
            theirs = bench.virsh()
        else:
            theirs = bench.virsh()
            ours = bench.svmove()
        print(f"pair {number + 1}: svmove {ours.seconds:.2f} s, virsh {theirs.seconds:.2f} s", file=sys.stderr)
        turns.append((ours, theirs))
    proofs = [bench.verified() for _ in range(verified)]
    return Result(pairs=tuple(turns), verified=tuple(proofs))


def show(console: Console, result: Result) -> None:
    ours, theirs = zip(*result.pairs, strict=True)
    console.print(
        tables.table(
            ("vda, median of " + str(len(result.pairs)), "svmove", "virsh blockcopy"),
            [
                ("wall seconds", _median(ours, "seconds"), _median(theirs, "seconds")),
                ("suspended (guest's clock stood)", _median(ours, "suspended", 1e3), _median(theirs, "suspended", 1e3)),
                ("worst write (guest's fio)", _median(ours, "worst_write", 1e3), _median(theirs, "worst_write", 1e3)),
            ],
            right=("svmove", "virsh blockcopy"),
        )
    )
    console.print(f"ratio of wall times      {result.ratio:.2f}   (goal: at most 0.95)")
    console.print(
        f"verification / copy      {result.verification:.2f}   (goal: at most 1.2; both disks, "
        f"copy {show_duration(statistics.median(run.copy for run in result.verified))})"
    )
    console.print(f"svmove's own pause       {show_duration(statistics.median(run.pause for run in result.verified))}")
    console.print(f"peak memory              {show_size(result.memory)}   (goal: under {show_size(150 * MiB)})")


def _median(runs: Sequence[Run], name: str, factor: float = 1.0) -> str:
    number = statistics.median(getattr(run, name) for run in runs) * factor
    return f"{number:.0f} ms" if factor > 1 else f"{number:.2f}"


def main(pairs: int = 5, verified: int = 3, as_json: bool = False) -> None:
    """Starts a lab of its own, measures, and leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        lab = Lab.open(Path(folder) / "lab")
        try:
            lab.up(lambda text: print(text, file=sys.stderr))
            result = measure(Bench(lab, Path(folder)), pairs, verified)
            lab.check()
        finally:
            lab.down(keep_cache=True)
    if as_json:
        print(json.dumps({**asdict(result), "ratio": result.ratio, "verification": result.verification}))
    else:
        show(Console(highlight=False), result)


typer.run(main)
