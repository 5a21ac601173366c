"""How far a copy is: told to whoever may stop it, once it is on stable storage, and held back to a rate."""

import time
from collections.abc import Callable

from svmove.errors import HostError

# Between two reports, each of which waits for the disk (seconds).
EVERY = 0.5

Bandwidth = Callable[[], int | None]
Sync = Callable[[Callable[[], None]], None]
Saved = Callable[[int, int], bool]


class Progress:
    """Of a copy; offsets and sizes are bytes, `end` that of the whole. `sync` brings what is written to stable storage;
    what it is given is to be called twice a second while it waits for a process. It raises HostError or OSError.

    `saved(offset, end)` is told only what a copy that was cut off need not copy again; it returns False to stop.
    """

    def __init__(self, sync: Sync, begin: int, end: int, bandwidth: Bandwidth, saved: Saved) -> None:
        self.begin, self.end, self.bandwidth = begin, end, bandwidth
        self._sync, self._saved = sync, saved
        self._copied = self._safe = begin
        self._told = time.monotonic()
        self._owed = 0.0

    def copied(self, offset: int, written: int, seconds: float) -> None:
        """All before `offset` is written, the last `written` bytes of it, without holes, in that time.

        Waits as long as the rate wants. Raises HostError when it is told to stop.
        """
        self._copied = offset
        rate = self.bandwidth()
        self._owed = 0.0 if rate is None else max(self._owed + written / rate - seconds, 0.0)
        while True:
            self.heed()
            if self._owed <= EVERY / 10:
                return
            # Not all at once: somebody may want it to stop.
            pause = min(self._owed, EVERY)
            time.sleep(pause)
            self._owed -= pause

    def heed(self) -> None:
        """To be called at least every EVERY seconds, also when nothing came to it. Raises HostError to stop."""
        if time.monotonic() - self._told < EVERY:
            return
        if self._copied > self._safe:
            self._sync(self._pulse)
            self._safe = self._copied
        self._tell(self._safe)

    def finished(self) -> None:
        self._sync(self._pulse)
        self._tell(self.end)

    def _pulse(self) -> None:
        self._tell(self._safe)

    def _tell(self, offset: int) -> None:
        if not self._saved(offset, self.end):
            raise HostError("the copy was stopped")
        self._told = time.monotonic()
