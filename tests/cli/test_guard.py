"""The guard, in processes of their own: it acts when its parent dies on duty, and only then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import os, signal, sys
from pathlib import Path
from svmove.cli import guard

looks = int(sys.argv[2])

def relieve(move):
    global looks
    looks -= 1
    with open(sys.argv[1], "a") as log:
        log.write(move + chr(10))
    return looks == 0

guard._LOOK = 0.01
posted = guard.post(relieve, lambda move: None)
for word in sys.argv[4:]:
    posted(word if word != "off" else None)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def relieved(log: Path, looks: int, how: str, *words: str) -> list[str]:
    """What the guard looked at, when all have ended. (The pipe of stdout is not held open by it.)"""
    reader, writer = os.pipe()
    try:
        argv = [sys.executable, "-c", _SCRIPT, str(log), str(looks), how, *words]
        subprocess.run(argv, capture_output=True, check=False, timeout=60, pass_fds=[writer])
    finally:
        os.close(writer)
    assert os.read(reader, 1) == b""  # the guard was the last that had it
    os.close(reader)
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("looks", [1, 3])
def test_it_looks_after_the_guest_until_there_is_nothing_more_to_do(tmp_path: Path, looks: int) -> None:
    assert relieved(tmp_path / "log", looks, "killed", "m1") == ["m1"] * looks


@pytest.mark.parametrize("words", [(), ("m1", "off"), ("off",)])
def test_off_duty_it_does_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert relieved(tmp_path / "log", 1, "killed", *words) == []


def test_the_last_move_counts(tmp_path: Path) -> None:
    assert relieved(tmp_path / "log", 1, "killed", "m1", "off", "m2") == ["m2"]


def test_a_parent_that_ends_on_duty_left_the_guest_to_it(tmp_path: Path) -> None:
    assert relieved(tmp_path / "log", 1, "ended", "m1") == ["m1"]
