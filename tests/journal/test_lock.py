"""One process works on a move; others see which, and wait for it without cost."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from svmove.errors import JournalError, RefusedError
from svmove.journal import Journal, owner, working_on
from svmove.journal.database import Worker

_HOLD = """
import sys, time
from svmove.journal import Journal
journal = Journal(sys.argv[1])
with journal.working_on("m1"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(url: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", _HOLD, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def soon_free(journal: Journal, move: str) -> bool:
    """A server hears of the end of a process within a moment."""
    deadline = time.monotonic() + 5
    while journal.owner(move) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    return journal.owner(move) is None


def test_a_second_one_is_refused_with_the_pid_of_the_first(url: str) -> None:
    journal, other = Journal(url), Journal(url)
    with journal.working_on("m1"):
        for who in (journal, other):
            with (
                pytest.raises(RefusedError, match=f"process {os.getpid()} works on move m1"),
                who.working_on("m1"),
            ):
                pass
        with other.working_on("m2"):
            pass
    with other.working_on("m1"):
        pass


def test_the_owner_is_known_and_nobody_when_it_has_died(url: str) -> None:
    journal = Journal(url)
    assert journal.owner("m1") is None
    process = holder(url)
    assert journal.owner("m1") == Worker(pid=process.pid, host=os.uname().nodename)
    with pytest.raises(RefusedError, match=f"process {process.pid} works on"), journal.working_on("m1"):
        pass
    end(process)
    assert soon_free(journal, "m1")
    with journal.working_on("m1"):
        found = journal.owner("m1")
    assert found is not None
    assert found.pid == os.getpid()


def test_who_waits_is_told_when_the_owner_dies(url: str) -> None:
    journal = Journal(url)
    journal.await_release("m1")  # nobody works on it
    process = holder(url)
    released = threading.Event()

    def wait() -> None:
        journal.await_release("m1")
        released.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not released.wait(0.2)
    end(process)
    assert released.wait(10)


def test_to_look_who_works_on_a_move_does_not_send_a_worker_away(url: str) -> None:
    stop = threading.Event()
    looks, works = Journal(url), Journal(url)

    def look() -> None:
        while not stop.is_set():
            looks.owner("m1")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(100):
            with works.working_on("m1"):
                pass
    finally:
        stop.set()
        thread.join()


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    with working_on(tmp_path, "m1"):
        pass
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_folder_in_which_no_lock_can_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with pytest.raises(JournalError, match="lock"), working_on(tmp_path, "m1"):
        pass
    with pytest.raises(JournalError, match="lock"):
        owner(tmp_path, "m1")
