"""Rows of the matrix of pools: what a test has SEEN becomes a line of docs/pools.md, when the test has passed."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from svmove.units import show_duration, show_size
from tests.real.network import SSH

# A file of JSON lines; `make pools` names one.
VARIABLE = "SVMOVE_POOLS"

_HEAD = """\
# Between any two pools

Written by the test that ran it, `make pools`: on a real libvirt with real servers (Ceph, iSCSI, NBD), the disk of a
guest that writes and checks goes from each kind of place to each other one, live, every byte compared. On two cores
without KVM, one run each; a machine that is busy with something else takes longer. "Allocated": before and after, as
the storage tells (of a partition: all). "Told": the findings by which the plan said before the start what the disk
would lose: its thinness, its encryption, or the checkpoint (a dirty bitmap) that each disk in qcow2 has; the test fails
where that is not what came.

LVM and NFS need what not every machine has (device-mapper, NFS in the kernel): `make vagrant-pools` puts a table of
theirs below.

"""

_REMOTE_HEAD = """\
# Into each kind of pool and out of it, over SSH

As [pools.md](pools.md), with the lab as another host, in a network of its own, which svmove reaches by SSH alone
([remote.md](remote.md)): `make pools SVMOVE_TEST_SSH=1`. What SSH changes is how svmove gets at a place, and not what
the other one is: so each kind is gone into once, and left once.

"""

_KERNEL_HEAD = """
## Places that need a kernel of their own

Likewise, written by `make vagrant-pools` in the Vagrant lab ([vagrant.md](vagrant.md)): pools of type logical (LVM),
thick and thin, and netfs on the kernel's NFS server, between each other, and from and to each of the places above.
There all of it runs in a virtual machine, and the guest in one inside it: where the outer one has no KVM either, the
seconds say little. With what is in LUKS the disk is a smaller one, of 384 MiB, since 20 MB/s are encrypted then. With
tmpfs it goes through the page cache: the machine's Linux 6.1 knows no O_DIRECT there.

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


def table(rows: Sequence[Row], before: str = "") -> str:
    """Lines that stood there before, of pairs that are not in `rows`, go on to stand there."""
    lines = {tuple(line.split(" | ")[:2]): line for line in before.splitlines()[2:]}
    for row in rows:
        if row.source != "home":
            words = (
                f"| {row.source}",
                row.destination,
                show_duration(row.copy),
                show_duration(row.verify),
                show_duration(row.pause),
                f"{show_size(row.before)} → {show_size(row.after)}",
                f"{', '.join(f'`{code}`' for code in row.told)} |",
            )
            lines[words[:2]] = " | ".join(words)
    head = ["| from | to | copy | verification | pause | allocated | told |", "| --- " * 7 + "|"]
    return "\n".join([*head, *(line for _, line in sorted(lines.items())), ""])


def document(before: str, rows: Sequence[Row], *, kernel: bool, add: bool = False) -> str:
    """With one of its two tables anew, and the other one as it was."""
    first, _, second = before.partition(_KERNEL_HEAD)
    if kernel:
        return first + _KERNEL_HEAD + table(rows, second if add else "")
    return (_REMOTE_HEAD if SSH else _HEAD) + table(rows) + (_KERNEL_HEAD + second if second else "")


def main(source: str, target: str, *words: str) -> None:
    """`--kernel`: the second table. `--add`: to it, of a part of the walks."""
    rows = [Row(**json.loads(line)) for line in Path(source).read_text().splitlines()]
    file = Path(target)
    before = file.read_text() if file.exists() else ""
    file.write_text(document(before, rows, kernel="--kernel" in words, add="--add" in words))


if __name__ == "__main__":
    main(*sys.argv[1:])
