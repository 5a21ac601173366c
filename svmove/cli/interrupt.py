"""Ctrl-C and SIGTERM: once, cancel and roll back; twice, leave at once and let the move be resumed."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from svmove.cli.exits import Exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt(threading.Event):
    """A signal's handler does not end a poll, which goes on after it; a descriptor does."""

    def __init__(self) -> None:
        super().__init__()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        super().set()
        os.eventfd_write(self._descriptor, 1)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def interruptible(phase: Callable[[], str]) -> Iterator[Interrupt]:
    """The event that a first signal sets. `phase` tells where the move is."""
    cancel = Interrupt()

    def heed(_number: int, _frame: FrameType | None) -> None:
        if phase() == "cutover":  # 50 ms in which the guest stands still: it must be woken first
            cancel.set()
        elif cancel.is_set():
            _say("left; go on with: svmove resume")
            os._exit(Exit.HELD)
        else:
            cancel.set()
            undone = phase() not in ("verifying", "committed")
            _say(f"interrupted: {'rolling back' if undone else 'stopping'} (once more to leave at once)")

    before = {number: signal.signal(number, heed) for number in _SIGNALS}
    # A lost terminal must not end a move.
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        cancel.close()


def _say(text: str) -> None:
    # Not print: a signal may come in the middle of one, and buffered streams are not reentrant.
    os.write(sys.stderr.fileno(), f"\nsvmove: {text}\n".encode())
