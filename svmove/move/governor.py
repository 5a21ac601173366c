"""Keeps a move's bandwidth at what was asked, counting data.

QEMU's own limit counts holes as well: a 2 GiB disk with 650 MiB of data at 100 MiB/s took 20 s instead of 6.5
(QEMU 7.2). So the limit given to QEMU is moved: above the asked one while holes go by, below it when data came
in a burst. A token bucket; debts are never forgotten. Pure but for its memory.
"""

from collections.abc import Mapping

# Seconds of the asked bandwidth that can be saved up, and in which savings are spent: holes go by at up to
# 1 + SAVED / SPENT = 5 times the limit, and a move of T seconds is at most SAVED / T above it.
_SAVED = 0.2
_SPENT = 0.05
# Between two looks, in seconds: a burst after a hole lasts no longer.
LOOK = 0.1


class Governor:
    """`cap` is in bytes/s, over all disks of the move."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._tokens = 0.0
        self._last: tuple[float, int] | None = None

    def limits(self, now: float, data: int, left: Mapping[str, int]) -> dict[str, int]:
        """The limit for each disk, in bytes/s.

        Args:
            now: seconds, monotonic.
            data: bytes of data that all disks together have received so far.
            left: bytes, holes included, that each disk still has to go through.
        """
        if self._last is not None:
            since, before = self._last
            earned = self._cap * (now - since) - (data - before)
            self._tokens = min(self._tokens + earned, self._cap * _SAVED)
        self._last = (now, data)
        # Never quite zero, which would mean no limit to QEMU, and would never show that the copy goes on.
        limit = max(self._cap + self._tokens / _SPENT, self._cap / 20)
        total = sum(left.values())
        return {target: max(int(limit * size / total), 1) for target, size in left.items() if size > 0}
