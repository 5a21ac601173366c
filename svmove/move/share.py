"""A pool's bandwidth, divided among the moves that have a slot of it."""

from collections.abc import Iterable, Mapping

from svmove.budgets import Budgets, Place
from svmove.journal import Slots
from svmove.ports import Clock

# The pace of the progress report: moves begin and end far less often.
_EVERY = 0.5


class Share:
    """Equal parts: what one move does not use is not given to another."""

    def __init__(self, slots: Slots, budgets: Budgets, clock: Clock) -> None:
        self._slots, self._budgets, self._clock = slots, budgets, clock
        self._read_at = float("-inf")
        self._holders: Mapping[Place, int] = {}

    def of(self, places: Iterable[Place]) -> int | None:
        """Bytes/s for a move that has slots of these; None when none of them has a limit. Raises JournalError."""
        limits = {place: limit for place in places if (limit := self._budgets.bandwidth(place)) is not None}
        if not limits:
            return None
        if (now := self._clock.monotonic()) - self._read_at >= _EVERY:
            self._read_at, self._holders = now, self._slots.holders(limits)
        return min(max(limit // max(self._holders.get(place, 1), 1), 1) for place, limit in limits.items())
