"""A guard for the guest, in case this process dies where the guest would suffer from it.

In the cutover the guest stands still; in the verification QEMU would pause it when the scratch files can't grow.
A process that is killed there can't let go of it. So a child is forked beforehand, which costs 2 ms and sleeps at
the end of a pipe; when the pipe breaks while it is on duty, it does for the guest what must be done, and no more:
it wakes it, thaws it, gives its disks their own I/O limits back, and ends the export before scratch space runs short.
The move itself stays as it is, for `resume`.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from svmove.errors import NotFoundError, RefusedError, SvmoveError, UnreachableError

# A guest that waits to be woken feels each of these; a scratch file grows by 2 GiB in one at the most.
_LOOK = 1.0


class Guard:
    """The parent's end of the pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._on_duty: str | None = None

    def __call__(self, move: str | None) -> None:
        """On duty for a move, or off."""
        if move == self._on_duty:
            return
        self._on_duty = move
        with suppress(OSError):  # somebody killed the guard: then there is none
            os.write(self._pipe, f"{move or ''}\n".encode())


def post(relieve: Callable[[str], bool], brake: Callable[[str], None]) -> Guard:
    """Forks the guard. To be called before there are threads: before libvirt is opened.

    Both are given the move's id, and run in the child: `relieve` looks after the guest by libvirt, and says whether
    there is nothing more to do; `brake` does what can be done without.
    """
    reader, writer = os.pipe()
    if os.fork() > 0:
        os.close(reader)
        return Guard(writer)
    try:
        os.close(writer)
        os.setsid()  # Ctrl-C is for those whom it is meant for
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # or whoever reads the parent's output would wait for the guard
            os.dup2(nowhere, descriptor)
        move = _stand(reader)
        if move is not None:
            _relieve(lambda: relieve(move), lambda: brake(move))
    finally:
        os._exit(0)


def _stand(reader: int) -> str | None:
    """Sleeps until the parent has gone. The move that was guarded then."""
    told = b""
    while chunk := os.read(reader, 4096):
        told = (told + chunk)[-256:]
    lines = told.decode().split("\n")
    return (lines[-2] or None) if len(lines) > 1 else None


def _relieve(look: Callable[[], bool], brake: Callable[[], None]) -> None:
    """Looks until there is nothing more to be done for the guest."""
    while True:
        try:
            try:
                if look():
                    return
            except UnreachableError:  # it will come back
                brake()
        except (RefusedError, NotFoundError):  # somebody works on the move
            return
        except SvmoveError:
            pass
        time.sleep(_LOOK)
