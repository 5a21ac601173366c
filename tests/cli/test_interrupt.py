"""Ctrl-C and SIGTERM, in a process of their own."""

import signal
import subprocess
import sys

import pytest

from svmove.cli.interrupt import interruptible

_SCRIPT = """
import signal, sys, time
from svmove.cli.interrupt import interruptible
with interruptible(lambda: sys.argv[1]) as cancel:
    print("ready", flush=True)
    while not cancel.is_set():
        time.sleep(0.01)
    print("cancelled", flush=True)
    sys.stdin.readline()
    time.sleep(0.05)
    print("went on", flush=True)
"""


def begun(phase: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, phase],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_cancels_and_two_leave_at_once(number: signal.Signals) -> None:
    process = begun("copying")
    assert process.stdout is not None
    process.send_signal(number)
    assert process.stdout.readline() == "cancelled\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (5, "")
    assert "rolling back" in errors
    assert "svmove resume" in errors


def test_in_the_cutover_a_second_signal_does_not_leave_the_guest_standing() -> None:
    process = begun("cutover")
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "cancelled\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate("\n", timeout=30)
    assert (process.returncode, output) == (0, "went on\n")


def test_a_lost_terminal_does_not_end_a_move() -> None:
    process = begun("copying")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate("\n", timeout=30)
    assert (process.returncode, output) == (0, "cancelled\nwent on\n")


def test_the_handlers_that_were_there_are_there_again() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with interruptible(lambda: ""):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
