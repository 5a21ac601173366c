"""Rows of the fault matrix: what a test has SEEN becomes a line of docs/faults.md, when the test has passed."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.real.network import SSH

# A file of JSON lines; `make faults` names one.
VARIABLE = "SVMOVE_FAULTS"

_HERE = "# The fault matrix\n\n"
_REMOTE = """\
# The fault matrix, over SSH

As [faults.md](faults.md), with the lab as another host, in a network of its own, which svmove reaches by SSH alone
([remote.md](remote.md)): `make faults SVMOVE_TEST_SSH=1`.

"""
_HEAD = """\
Written by the tests that ran it, on a real libvirt with a real guest that writes and checks: `make faults`. After each
row the guest's fio had 0 verify errors (or the guest was started again and went on), no volume was without an owner, no
file that was deleted had been in use, and no marker was left unless the move is held.

"svmove crashes, at every call" is a sweep: the walk of a real move is cut off before and after each journal write and
each call that acts, and at the first look of each kind in each phase; nothing of it runs any more, and a fresh svmove
resumes it. "svmove itself" is a real SIGKILL of a real process at the acts among them.

Beside these, `tests/move/test_crashes.py` lets svmove die, lose libvirt, or meet an error before and after EVERY call
in a fake world, and `tests/move/test_property.py` any mixture of that; `tests/contract` holds that world to the real.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    group: str
    fault: str
    point: str
    ended: str  # the move's state and code
    guest: str  # where it runs
    left: str  # what is left behind


def write(row: Row) -> None:
    if name := os.environ.get(VARIABLE):
        with Path(name).open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def table(rows: Sequence[Row]) -> str:
    """Markdown: a table for each group, in the order of names."""
    parts = [_REMOTE if SSH else _HERE, _HEAD]
    for group in sorted({row.group for row in rows}):
        parts.append(
            f"## {group}\n\n| fault | when | the move | the guest | left behind |\n| --- | --- | --- | --- | --- |\n"
        )
        found = {(row.fault, row.point): row for row in rows if row.group == group}
        parts.extend(
            f"| {row.fault} | {row.point} | {row.ended} | {row.guest} | {row.left} |\n"
            for _, row in sorted(found.items())
        )
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def main(source: str, target: str) -> None:
    rows = [Row(**json.loads(line)) for line in Path(source).read_text().splitlines()]
    Path(target).write_text(table(rows))


if __name__ == "__main__":
    main(*sys.argv[1:3])
