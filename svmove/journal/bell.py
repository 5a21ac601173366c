"""How a process that waits is woken, among those of one host: a datagram, or the end of a process that it watches.

The socket has an abstract name, so nothing is left of it when its process dies, and there is no limit to their number
as there is to inotify's (128 a user). Whoever can't hear looks for himself now and then. It carries nothing: anybody
on the host may ring, and whoever is woken looks into the journal.
"""

import hashlib
import math
import os
import select
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from svmove.ports import Cancel, Waking

# So often it is looked whether to stop, where that has no descriptor to be woken by.
STOP_LOOK = 1.0


class Bell:
    def __init__(self, folder: Path) -> None:
        # As long as a name may be (107 bytes), and the same for all who have that journal.
        self._of = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        self._sockets: dict[str, socket.socket] = {}

    @contextmanager
    def heard(self, move: str) -> Iterator[None]:
        """From now on `ring` is heard."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as mine:
            with suppress(OSError):  # somebody has that name: then it is looked now and then
                mine.bind(self._name(move))
            self._sockets[move] = mine
            try:
                yield
            finally:
                del self._sockets[move]

    def ring(self, move: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as mine, suppress(OSError):
            mine.sendto(b"!", self._name(move))

    def wait(self, move: str, seconds: float, watch: Collection[int], cancel: Cancel) -> None:
        mine = self._sockets[move]
        with ExitStack() as stack:
            poll = select.poll()
            poll.register(mine, select.POLLIN)
            for pid in watch:
                try:
                    descriptor = os.pidfd_open(pid)
                except OSError:  # it has just ended, or can't be seen from here
                    seconds = min(seconds, STOP_LOOK)
                    continue
                stack.callback(os.close, descriptor)
                poll.register(descriptor, select.POLLIN)
            poll_until(poll, seconds, cancel)
        with suppress(BlockingIOError):
            while mine.recv(16):
                pass

    def _name(self, move: str) -> str:
        return f"\0svmove/{self._of}/{move}"


def poll_until(poll: select.poll, seconds: float, cancel: Cancel) -> None:
    deadline, at_once = time.monotonic() + seconds, seconds
    if isinstance(cancel, Waking):
        poll.register(cancel.fileno(), select.POLLIN)
    else:
        at_once = STOP_LOOK
    while not cancel.is_set() and (left := deadline - time.monotonic()) > 0:
        if poll.poll(math.ceil(min(left, at_once) * 1000)):
            return
