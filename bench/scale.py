"""From nothing to the plan of an evacuation, of fleets up to 1,000 guests, 10,000 volumes, 20 pools: seconds, memory.

Each measure is a process of its own, as one call of `svmove evacuate --dry-run` is; what libvirt's test driver needs to
read its file is inside, for it runs in the same process. Seconds are those of the CPU, by one core: on a machine with
nothing else to do that is the time that it takes. The wall clock's are told beside them.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from bench import fleet
from svmove.units import MiB, show_duration, show_size
from svmove.view import tables

GOAL_SECONDS = 5.0
GOAL_MEMORY = 300 * MiB

# In the other process. `now` counts from its start, so that Python's own and the imports are inside.
_ONE = """
import json, resource, sys, time
began, now = time.perf_counter(), time.process_time
uri, journal = sys.argv[1:]
import libvirt
raw = libvirt.open(uri)
read = now()
from svmove.placer import Placer
from svmove.policy import Policy
placer = Placer.connect(uri, Policy(), journal)
found = placer.fleet()
inventory = now() - read
from svmove.plan.placement import evacuate
from svmove.plan.balance import balance
evacuation = evacuate(found, Policy(), "p00")
planned = now() - read
balanced = balance(found, Policy(), now=time.time())
print(json.dumps({
    "read": read, "inventory": inventory, "plan": planned - inventory, "balance": now() - read - planned,
    "total": read + planned, "wall": time.perf_counter() - began,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "disks": len(found.disks), "moves": len(evacuation.moves), "stays": len(evacuation.stays),
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Seconds: of the CPU, but `wall`. `read` is the driver's own, once more inside `inventory`."""

    guests: int
    read: float
    inventory: float
    plan: float
    balance: float
    total: float
    wall: float  # with the balance
    memory: int
    disks: int
    moves: int
    stays: int


def measure(guests: int, folder: Path, rounds: int = 3) -> Measure:
    """The best of some rounds: whatever else runs on the machine only adds."""
    uri = fleet.write(folder / f"{guests}.xml", guests)
    found = []
    for number in range(rounds):
        command = [sys.executable, "-c", _ONE, uri, f"sqlite:///{folder}/{guests}-{number}.sqlite"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(Measure(guests=guests, **json.loads(said)))
    return min(found, key=lambda one: one.total)


def main(guests: str = "100,250,500,1000", rounds: int = 3) -> None:
    """Prints the table; exits with 1 when the largest is above a goal."""
    with tempfile.TemporaryDirectory(prefix="svmove-scale-") as folder:
        found = [measure(int(number), Path(folder), rounds) for number in guests.split(",")]
    rows = [
        (
            str(one.guests),
            str(one.disks),
            show_duration(one.inventory),
            show_duration(one.plan),
            show_duration(one.balance),
            show_duration(one.total),
            show_duration(one.wall),
            _each(one, found[0]),
            show_size(one.memory),
            f"{one.moves} + {one.stays}",
        )
        for one in found
    ]
    headings = (
        *("guests", "disks", "inventory", "evacuation", "balance", "total", "wall clock", "one more guest", "memory"),
        "moves + stays",
    )
    Console(highlight=False, width=140).print(tables.table(headings, rows, right=headings))
    largest = found[-1]
    if largest.total > GOAL_SECONDS or largest.memory > GOAL_MEMORY:
        print(f"above the goal: {GOAL_SECONDS} s, {show_size(GOAL_MEMORY)}", file=sys.stderr)
        raise typer.Exit(1)


def _each(one: Measure, smallest: Measure) -> str:
    """What a guest adds to the smallest fleet: the same in each row, if it grows in a line."""
    more = one.guests - smallest.guests
    return show_duration((one.total - smallest.total) / more) if more else ""


if __name__ == "__main__":
    typer.run(main)
