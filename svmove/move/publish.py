"""Tells a move's figures to its listener, and to the journal's board for whoever asks from another process."""

from collections import deque
from collections.abc import Callable

from svmove.journal import Figures, Journal
from svmove.outcomes import Progress
from svmove.ports import Clock, Listener

# Often enough for a person who watches; a write takes 0.1 ms, since it does not wait for the disk.
_EVERY = 0.5
# Seconds over which the rate is taken: a burst should not promise an end that does not come.
_OVER = 5.0


class Publisher:
    def __init__(self, listener: Listener, journal: Journal, clock: Clock) -> None:
        self._listener = listener
        self._tell: Callable[..., None] = journal.board.tell
        self._clock = clock
        self._phase = ""
        self._past: dict[str, deque[tuple[float, int]]] = {}
        self._now: dict[str, Figures] = {}
        self._told = float("-inf")

    def __call__(self, seen: Progress) -> None:
        # In the cutover the guest stands still: nothing is written that can wait.
        if seen.target is not None and seen.phase != "cutover":
            self._note(seen)
        self._listener(seen)

    def _note(self, seen: Progress) -> None:
        assert seen.target is not None
        if seen.phase != self._phase:
            self._phase, self._past, self._now = seen.phase, {}, {}
        now = self._clock.monotonic()
        past = self._past.setdefault(seen.target, deque())
        # What is left, not what is done: a mirror's end grows with what the guest writes.
        past.append((now, seen.end - seen.done))
        while past[0][0] < now - _OVER:
            past.popleft()
        (began, left_then), (_, left) = past[0], past[-1]
        rate = max(left_then - left, 0) / (now - began) if now > began else None
        self._now[seen.target] = Figures(
            done=seen.done, end=seen.end, rate=rate, seconds=seen.seconds, converges=seen.converges
        )
        if now - self._told >= _EVERY:
            self._told = now
            self._tell(seen.move, self._clock.now(), seen.phase, self._now)
