"""How many bytes, and how long: said before the start, to be held against what came."""

from collections.abc import Sequence

from svmove.units import MiB

# One SATA SSD or a 2.5 Gbit/s network; only until the journal knows better.
ASSUMED_RATE = 200 * MiB


def shares(bandwidth: int | None, sizes: Sequence[int]) -> tuple[int | None, ...]:
    """Splits a move's bandwidth over its disks by size, so that all are ready at about the same time.

    Each gets at least 1 byte/s (0 would mean no limit to libvirt); the sum is never above `bandwidth` but for that.
    """
    if bandwidth is None:
        return tuple(None for _ in sizes)
    total = sum(sizes)
    if total == 0:
        return tuple(max(bandwidth // len(sizes), 1) for _ in sizes)
    return tuple(max(bandwidth * size // total, 1) for size in sizes)


def seconds(size: int, bandwidth: int | None, past_rate: float | None) -> float:
    """Of the copy alone, in seconds."""
    return size / rate(bandwidth, past_rate)


def rate(bandwidth: int | None, past_rate: float | None) -> float:
    """Bytes per second of a copy."""
    expected = past_rate or ASSUMED_RATE
    return expected if bandwidth is None else min(expected, bandwidth)
