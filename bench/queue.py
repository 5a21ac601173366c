"""What moves that wait for a slot cost: 200 of them, on a file and on a PostgreSQL server.

Each is a process of its own that waits as the runner does, for a pool whose slots are all taken. Counted is the time of
all these processes on a processor, and the server's, while nothing happens; and how soon the next one goes on when a
slot is given back, or its process is killed. Forked from one, so that 200 of them fit into a small machine.
"""

import ctypes
import os
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from svmove.budgets import Budgets, Place, PlaceKind, Priority, SlotsPolicy, Waits
from svmove.cli.interrupt import Interrupt
from svmove.journal import Journal
from svmove.move.slots import await_call
from svmove.view import tables
from tests.builders import plan
from tests.postgres import server

MOVES, SLOTS, SECONDS = 200, 8, 60.0
POOL = Place(kind=PlaceKind.POOL, name="fast")
BUDGETS = Budgets(slots=SlotsPolicy(host=MOVES + SLOTS, pool=SLOTS))
_PDEATHSIG = 1  # prctl(2)
_TICKS = os.sysconf("SC_CLK_TCK")


def work(url: str, move: str, told: int) -> None:
    """Waits for a slot, tells so by a line, and keeps it until SIGTERM."""
    journal = Journal(url)
    leave = Interrupt()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    journal.begin(plan(move=move, uuid=move), "bench:///", "planned")
    with journal.working_on(move):
        asked = (move, Priority.NORMAL, (POOL,), BUDGETS, time.time())
        waits: Waits | None = journal.slots.ask(*asked)
        if waits is not None:
            os.write(told, f"waits {move} {time.time()}\n".encode())
        while waits is not None and not leave.is_set():
            await_call(journal, move, waits, None, leave)
            waits = journal.slots.ask(*asked)
        os.write(told, f"has {move} {time.time()}\n".encode())
        leave.wait()
        journal.slots.leave(move)


def start(url: str, move: str, told: int) -> int:
    if (pid := os.fork()) == 0:
        try:
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)  # when the bench is killed
            work(url, move, told)
        finally:
            os._exit(0)
    return pid


def seconds(pid: int) -> float:
    """On a processor, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def measure(name: str, url: str, served: Callable[[], list[int]], console: Console) -> list[tuple[str, str, str]]:
    reader, writer = os.pipe()
    lines = os.fdopen(reader)
    pids: dict[str, int] = {}

    def heard(word: str, count: int) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        while len(found) < count:
            said, move, at = lines.readline().split()
            if said == word:
                found.append((move, float(at)))
        return found

    try:
        for number in range(SLOTS + MOVES):
            move = f"m{number:03d}"
            pids[move] = start(url, move, writer)
            heard("has" if number < SLOTS else "waits", 1)
        console.print(f"{name}: {MOVES} wait")
        time.sleep(5)
        watched = [*pids.values(), *served()]
        before = sum(map(seconds, watched))
        time.sleep(SECONDS)
        spent = sum(map(seconds, watched)) - before
        ends: dict[int, list[float]] = {signal.SIGTERM: [], signal.SIGKILL: []}
        running = [f"m{number:03d}" for number in range(SLOTS)]
        for number in (signal.SIGTERM, signal.SIGKILL) * 5:
            ended = running.pop(0)
            at = time.time()
            os.kill(pids[ended], number)
            ((move, then),) = heard("has", 1)
            os.waitpid(pids.pop(ended), 0)
            running.append(move)
            ends[number].append(then - at)
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        lines.close()
        os.close(writer)
    return [
        (name, f"{MOVES} that wait, of one processor", f"{100 * spent / SECONDS:.2f} %"),
        (name, "from the end of a move to the next one", f"{1000 * statistics.median(ends[signal.SIGTERM]):.0f} ms"),
        (name, "likewise, of one that is killed", f"{1000 * statistics.median(ends[signal.SIGKILL]):.0f} ms"),
    ]


def main() -> None:
    # Each has two files and a socket, and this process a pipe.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    console, rows = Console(stderr=True), []
    with tempfile.TemporaryDirectory(prefix="svmove-bench-", dir="/var/tmp") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        rows += measure("SQLite", f"{folder}/journal.sqlite", list, console)
        with server() as postgresql:

            def processes() -> list[int]:
                assert postgresql.process is not None
                return [postgresql.process.pid, *children(postgresql.process.pid)]

            rows += measure("PostgreSQL, with its server", postgresql.emptied(), processes, console)
    tables.show(Console(), tables.table(("journal", "", "measured"), rows))


if __name__ == "__main__":
    main()
