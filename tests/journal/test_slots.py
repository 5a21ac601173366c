"""Slots in the journal: between processes, whoever dies."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from svmove.budgets import Budgets, Place, PlaceKind, PoolPolicy, Priority, SlotsPolicy
from svmove.cli.interrupt import Interrupt
from svmove.journal import Ask, Journal
from tests.builders import plan

URI = "qemu:///system"
HERE = Place(kind=PlaceKind.HOST, name="here")
FAST = Place(kind=PlaceKind.POOL, name="fast")
ONE = Budgets(slots=SlotsPolicy(host=1, pool=8))


class Process:
    """One that works on a move, as far as the journal can tell."""

    def __init__(self, url: str, move: str, host: str = "here") -> None:
        self.journal = Journal(url, host=host)
        self.move = move
        self.stack = ExitStack()
        if self.journal.open_move(move) is None:
            self.journal.begin(plan(move=move, uuid=move), URI, "planned")
        self.stack.enter_context(self.journal.working_on(move))

    def ask(self, at: float = 0.0, *, priority: str = "normal", budgets: Budgets = ONE, seize: bool = False) -> str:
        slots = self.journal.slots
        asked = (self.move, Priority(priority), (HERE, FAST), budgets, at)
        if seize:
            slots.seize(*asked)
            return "has it"
        waits = slots.ask(*asked)
        return "has it" if waits is None else str(waits.position)

    def called(self, seconds: float = 5.0) -> bool:
        began = time.monotonic()
        self.journal.database.await_call(self.move, seconds, (), threading.Event())
        return time.monotonic() - began < seconds

    def leave(self) -> None:
        self.journal.slots.leave(self.move)

    def die(self) -> None:
        """Without a word."""
        self.stack.close()


@pytest.fixture
def started(url: str) -> Iterator["Start"]:
    start = Start(url)
    yield start
    for process in start.all:
        process.die()


class Start:
    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[Process] = []

    def __call__(self, move: str, host: str = "here") -> Process:
        self.all.append(Process(self.url, move, host))
        return self.all[-1]


def test_whoever_comes_second_waits_and_is_called_when_the_first_leaves(started: Start) -> None:
    first, second, third = started("a"), started("b"), started("c")
    assert [process.ask(float(at)) for at, process in enumerate((first, second, third))] == ["has it", "1", "2"]
    assert not second.called(0.2)
    first.leave()
    assert second.called()
    assert second.ask() == "has it"
    assert third.called()  # to watch over the queue, now that it is the first
    assert third.ask() == "1"
    assert started("d").journal.slots.waiting(ONE)["c"].position == 1


def test_a_slot_that_is_held_is_held_at_the_second_question_too(started: Start) -> None:
    first = started("a")
    assert first.ask() == "has it"
    assert first.journal.slots.holds("a")
    assert first.ask() == "has it"
    first.leave()
    first.leave()
    assert not first.journal.slots.holds("a")


def test_a_dead_process_s_slot_is_free(started: Start) -> None:
    first, second = started("a"), started("b")
    assert [first.ask(), second.ask()] == ["has it", "1"]
    first.die()
    assert second.ask() == "has it"


def test_whoever_goes_on_for_a_dead_one_asks_again_and_has_the_old_place_in_the_queue(started: Start) -> None:
    runs, early, late = started("a"), started("b"), started("c")
    assert [runs.ask(1.0), early.ask(2.0), late.ask(3.0)] == ["has it", "1", "2"]
    early.die()
    assert late.ask() == "1"
    resumed = started("b")
    assert (resumed.ask(4.0), late.ask()) == ("1", "2")
    runs.die()
    again = started("a")  # it would be the first in order, but is not free to take what it had: it asks
    assert again.ask(5.0) == "has it"
    again.die()
    assert (resumed.ask(), started("a").ask(6.0)) == ("has it", "1")


def test_priorities_count(started: Start) -> None:
    assert started("a").ask() == "has it"
    low, high = started("b"), started("c")
    assert [low.ask(priority="low"), high.ask(priority="high")] == ["1", "1"]
    assert low.ask(priority="low") == "2"


def test_one_that_can_not_wait_takes_more_than_there_is(started: Start) -> None:
    first, second, third = started("a"), started("b"), started("c")
    assert [first.ask(), second.ask(seize=True), third.ask()] == ["has it", "has it", "1"]
    assert third.journal.slots.holders([HERE, FAST]) == {HERE: 2, FAST: 2}
    first.leave()
    assert third.ask() == "1"


def test_moves_that_have_ended_have_no_slot(started: Start) -> None:
    first, second = started("a"), started("b")
    assert first.ask() == "has it"
    first.journal.enter("a", 1.0, "done", left="planned", ended=True, data={})
    assert second.ask() == "has it"


def test_a_request_to_cancel_wakes_whoever_waits(started: Start) -> None:
    started("a").ask()
    waits = started("b")
    assert waits.ask() == "1"
    started("c").journal.requests.add("b", 1.0, Ask.CANCEL)
    assert waits.called()


def test_whoever_is_to_stop_is_not_left_waiting(started: Start) -> None:
    waits, stop = started("a"), threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    waits.journal.database.await_call("a", 30.0, (), stop)
    assert time.monotonic() - began < 3


def test_a_signal_ends_the_waiting_at_once(started: Start) -> None:
    waits, interrupt = started("a"), Interrupt()
    threading.Timer(0.2, interrupt.set).start()
    began = time.monotonic()
    waits.journal.database.await_call("a", 30.0, (), interrupt)
    assert time.monotonic() - began < 0.9
    interrupt.close()


def test_a_pool_has_its_own_number_of_slots(started: Start) -> None:
    given = Budgets(slots=SlotsPolicy(host=9), pools={"fast": PoolPolicy(slots=2)})
    found = [started(move).ask(float(at), budgets=given) for at, move in enumerate("abc")]
    assert found == ["has it", "has it", "1"]


def test_what_is_shared_on_a_server_binds_the_processes_of_all_hosts(started: Start) -> None:
    given = Budgets(slots=SlotsPolicy(host=1, pool=1))
    one, other = started("a", host="here"), started("b", host="there")
    assert one.ask(budgets=given) == "has it"
    places = (Place(kind=PlaceKind.HOST, name="there"), FAST)
    waits = other.journal.slots.ask("b", Priority.NORMAL, places, given, 1.0)
    assert waits is not None
    assert waits.place == FAST


# Real processes

_WORK = """
import os, random, sys, threading, time
from pathlib import Path
from svmove.budgets import Budgets, Place, PlaceKind, Priority, SlotsPolicy
from svmove.journal import Journal
from tests.builders import plan
url, folder, move, rounds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
places = (Place(kind=PlaceKind.HOST, name="here"),)
budgets = Budgets(slots=SlotsPolicy(host=2))
journal = Journal(url)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    name = f"{move}-{number}"
    journal.begin(plan(move=name, uuid=name), "qemu:///system", "planned")
    with journal.working_on(name):
        while (waits := journal.slots.ask(name, Priority.NORMAL, places, budgets, time.time())) is not None:
            watch = journal.slots.processes(waits.watch)
            journal.database.await_call(name, 2.0, watch, threading.Event())
        mark = folder / name
        mark.touch()
        if (now := len(list(folder.iterdir()))) > 2:
            print("too many", now)
        time.sleep(random.uniform(0.01, 0.05))
        if number == 1 and move == "killed":
            os.kill(os.getpid(), 9)
        mark.unlink()
        journal.slots.leave(name)
print("done")
"""


def worker(url: str, folder: Path, move: str, rounds: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _WORK, url, str(folder), move, str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@contextmanager
def all_at_once(workers: "list[subprocess.Popen[str]]") -> Iterator[None]:
    try:
        for one in workers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in workers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        yield
    finally:
        for one in workers:
            one.kill()
            one.communicate()


def test_of_processes_that_race_never_more_have_a_slot_than_there_are(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    workers = [worker(url, folder, f"w{number}", 6) for number in range(4)]
    with all_at_once(workers):
        said = [one.communicate(timeout=60) for one in workers]
    assert said == [("done\n", "")] * 4


def test_those_who_wait_go_on_when_one_that_has_a_slot_is_killed(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    killed, other = worker(url, folder, "killed", 3), worker(url, folder, "other", 4)
    with all_at_once([killed, other]):
        killed.wait(30)
        for mark in folder.glob("killed-*"):
            mark.unlink()
        out, err = other.communicate(timeout=60)
    assert (out, err) == ("done\n", "")


def test_the_end_of_a_process_is_seen_at_once_on_the_same_host(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal.sqlite"))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    threading.Timer(0.3, child.kill).start()
    with journal.working_on("a"):
        began = time.monotonic()
        journal.database.await_call("a", 30.0, [child.pid], threading.Event())
        assert time.monotonic() - began < 5
        child.wait()
        began = time.monotonic()
        journal.database.await_call("a", 30.0, [child.pid], threading.Event())  # it has ended before
        assert time.monotonic() - began < 5


def test_nobody_hears_a_call_for_a_move_that_nobody_works_on(started: Start) -> None:
    started("a").journal.database.ring("b")
    assert os.getpid() not in started("c").journal.slots.processes(["a", "c"])
