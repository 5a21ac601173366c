"""Keeps a move's bandwidth at what was asked, counting data.

QEMU's own limit counts holes as well: a 2 GiB disk with 650 MiB of data at 100 MiB/s took 20 s instead of 6.5
(QEMU 7.2). So the limit given to QEMU is raised while holes go by, and lowered for a while when data came in
a burst at the end of one. Through data it stays as it is: QEMU keeps it well by itself, and each raise wakes its
job for one more round of requests (a buffer's worth) ahead of time. A token bucket; pure but for its memory.
"""

from collections.abc import Mapping

# Between two looks, in seconds. QEMU's buffer is made small enough to be sent in that time.
LOOK = 0.1
# Seconds of the asked bandwidth, saved up: so much unused says that these are holes; so much overspent must be
# paid back. A move of T seconds is at most SAVED / T above what was asked.
_SAVED = 0.3
# Times the asked bandwidth.
_THROUGH_HOLES = 5.0
_PAYING_BACK = 0.25
# A disk's share moves with what is left of the others; smaller changes than this are not worth a raise.
_WORTH = 0.25
_SMALLEST_BUFFER = 1 << 20


def buffer_for(cap: int | None, buffer: int) -> int:
    """The mirror's buffer in bytes: no larger than what may be sent between two looks."""
    return buffer if cap is None else max(min(int(cap * LOOK), buffer), _SMALLEST_BUFFER)


class Governor:
    """`cap` is in bytes/s, over all disks of the move."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._tokens = 0.0
        self._level = 1.0
        self._last: tuple[float, int] | None = None
        self._given: dict[str, int] = {}

    def limits(self, now: float, data: int, left: Mapping[str, int]) -> dict[str, int]:
        """The limits that must change, in bytes/s, by disk.

        Args:
            now: seconds, monotonic.
            data: bytes of data that all disks together have received so far.
            left: bytes, holes included, that each disk still has to go through.
        """
        if self._last is not None:
            since, before = self._last
            earned = self.cap * (now - since) - (data - before)
            self._tokens = min(self._tokens + earned, self.cap * _SAVED)
        self._last = (now, data)
        self._level = self._next_level()
        total = sum(left.values())
        wanted = {
            target: max(int(self.cap * self._level * size / total), 1) for target, size in left.items() if size > 0
        }
        changed = {target: limit for target, limit in wanted.items() if self._worth(target, limit)}
        self._given |= changed
        return changed

    def _next_level(self) -> float:
        saved = self.cap * _SAVED
        if self._tokens >= saved:
            return _THROUGH_HOLES
        if self._tokens < -saved:
            return _PAYING_BACK
        if (self._level > 1 and self._tokens > 0) or (self._level < 1 and self._tokens < 0):
            return self._level  # until it is used up, or paid back
        return 1.0

    def _worth(self, target: str, limit: int) -> bool:
        given = self._given.get(target)
        return given is None or abs(limit - given) > given * _WORTH
