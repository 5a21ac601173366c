"""Rows of the matrix of pools: what a test has SEEN becomes a line of docs/pools.md, when the test has passed."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from svmove.units import show_duration, show_size

# A file of JSON lines; `make pools` names one.
VARIABLE = "SVMOVE_POOLS"

_HEAD = """\
# Between any two pools

Written by the test that ran it, `make pools`: on a real libvirt with real servers (Ceph, iSCSI, NBD), the disk of a
guest that writes and checks goes from each kind of place to each other one, live, every byte compared. On two cores
without KVM, one run each; a machine that is busy with something else takes longer. "Allocated": before and after, as
the storage tells (of a partition: all). "Told": the findings by which the plan said before the start what the disk
would lose, its thinness or its encryption; the test fails where that is not what came.

LVM and NFS need what not every machine has (device-mapper, NFS in the kernel): they are not in this table. What was
seen of them is in [vagrant.md](vagrant.md).

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    source: str
    destination: str
    copy: float
    verify: float
    pause: float
    before: int  # bytes
    after: int
    told: tuple[str, ...]  # the codes of findings


def write(row: Row) -> None:
    if name := os.environ.get(VARIABLE):
        with Path(name).open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def table(rows: Sequence[Row]) -> str:
    parts = [_HEAD, "| from | to | copy | verification | pause | allocated | told |\n", "| --- " * 7 + "|\n"]
    found = {(row.source, row.destination): row for row in rows}
    parts.extend(
        f"| {row.source} | {row.destination} | {show_duration(row.copy)} | {show_duration(row.verify)} | "
        f"{show_duration(row.pause)} | {show_size(row.before)} → {show_size(row.after)} | "
        f"{', '.join(f'`{code}`' for code in row.told)} |\n"
        for _, row in sorted(found.items())
        if row.source != "home"
    )
    return "".join(parts)


def main(source: str, target: str) -> None:
    rows = [Row(**json.loads(line)) for line in Path(source).read_text().splitlines()]
    Path(target).write_text(table(rows))


if __name__ == "__main__":
    main(*sys.argv[1:3])
