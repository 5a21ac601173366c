"""Keeps a move's bandwidth at what was asked, counting data.

QEMU's own limit counts holes as well: a 2 GiB disk with 650 MiB of data at 100 MiB/s took 20 s instead of 6.5
(QEMU 7.2). So the limit given to QEMU is moved: above the asked one while holes go by, back when data comes.
Over any window of 2 s the data stay at the asked rate. Pure but for its memory of that window.
"""

from collections import deque
from collections.abc import Mapping

# Seconds. Within the window unused bandwidth is saved up; it is spent in the horizon. So holes go by at up to
# 1 + window / horizon = 5 times the limit, and a burst at the end of one is over after half a second.
_WINDOW = 2.0
_HORIZON = 0.5


class Governor:
    """`cap` is in bytes/s, over all disks of the move."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._samples: deque[tuple[float, int]] = deque()

    def limits(self, now: float, data: int, left: Mapping[str, int]) -> dict[str, int]:
        """The limit for each disk, in bytes/s.

        Args:
            now: seconds, monotonic.
            data: bytes of data that all disks together have received so far.
            left: bytes, holes included, that each disk still has to go through.
        """
        self._samples.append((now, data))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        unused = self._cap * (now - since) - (data - before)
        limit = max(self._cap + unused / _HORIZON, self._cap / 4)
        total = sum(left.values())
        return {target: max(int(limit * size / total), 1) for target, size in left.items() if size > 0}
