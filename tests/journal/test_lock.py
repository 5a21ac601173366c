"""One process works on a move; others see which, and wait for it in the kernel."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from svmove.errors import JournalError, RefusedError
from svmove.journal import await_release, owner, working_on

_HOLD = """
import sys, time
from pathlib import Path
from svmove.journal import working_on
with working_on(Path(sys.argv[1]), "m1"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with working_on(tmp_path, "m1"):
        with pytest.raises(RefusedError, match=f"process {os.getpid()} works on move m1"), working_on(tmp_path, "m1"):
            pass
        with working_on(tmp_path, "m2"):
            pass
    with working_on(tmp_path, "m1"):
        pass


def test_the_owner_is_known_and_nobody_when_it_has_died(tmp_path: Path) -> None:
    assert owner(tmp_path, "m1") is None
    process = holder(tmp_path)
    assert owner(tmp_path, "m1") == process.pid
    end(process)
    assert owner(tmp_path, "m1") is None
    with working_on(tmp_path, "m1"):
        assert owner(tmp_path, "m1") == os.getpid()


def test_who_waits_is_told_when_the_owner_dies(tmp_path: Path) -> None:
    await_release(tmp_path, "m1")  # nobody works on it
    process = holder(tmp_path)
    released = threading.Event()

    def wait() -> None:
        await_release(tmp_path, "m1")
        released.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not released.wait(0.1)
    end(process)
    assert released.wait(10)


def test_to_look_who_works_on_a_move_does_not_send_a_worker_away(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            owner(tmp_path, "m1")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with working_on(tmp_path, "m1"):
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
