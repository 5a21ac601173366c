"""From counters of requests to latencies and loads: what a pool is like, and what a disk asks of it. Pure.

Times are seconds. The figure of a pool is the 90th percentile over the intervals between samples, as in VMware's
Storage DRS: a peak counts, a single outlier does not.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from svmove.fleet import Counters, DiskKey

PERCENTILE = 0.9
# An interval with fewer requests says nothing of a storage: one flush of an idle guest would.
_LEAST_REQUESTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Every disk's counters at one moment, and which pool it was in."""

    at: float  # Unix time
    counters: Mapping[DiskKey, Counters]
    pools: Mapping[DiskKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """`pools`: the percentile of each pool's intervals. `loads`: each disk's requests under way, on average."""

    pools: Mapping[str, float]
    loads: Mapping[DiskKey, float]
    seconds: float  # that the samples cover


def percentile(values: Sequence[float], part: float = PERCENTILE) -> float:
    """By nearest rank: the smallest value that at least `part` of all are not above. Raises ValueError for none."""
    if not values:
        raise ValueError("of nothing there is no percentile")
    return sorted(values)[max(math.ceil(part * len(values)), 1) - 1]


def latencies(samples: Sequence[Sample]) -> Latencies:
    """Of samples in their order. What was started anew, or moved to another pool, in an interval is left out of it."""
    of_pool: dict[str, list[float]] = {}
    busy: dict[DiskKey, float] = {}
    covered: dict[DiskKey, float] = {}
    for before, after in itertools.pairwise(samples):
        seconds = after.at - before.at
        if seconds <= 0:
            continue
        requests: dict[str, int] = {}
        waited: dict[str, float] = {}
        for key, now in after.counters.items():
            then, pool = before.counters.get(key), after.pools.get(key)
            if then is None or pool is None or before.pools.get(key) != pool:
                continue
            count, time = now.reads + now.writes - then.reads - then.writes, _seconds(now) - _seconds(then)
            if count < 0 or time < 0 or now.reads < then.reads or now.writes < then.writes:
                continue
            busy[key] = busy.get(key, 0.0) + time
            covered[key] = covered.get(key, 0.0) + seconds
            requests[pool] = requests.get(pool, 0) + count
            waited[pool] = waited.get(pool, 0.0) + time
        for pool, number in requests.items():
            if number >= _LEAST_REQUESTS:
                of_pool.setdefault(pool, []).append(waited[pool] / number)
    return Latencies(
        pools={pool: percentile(found) for pool, found in of_pool.items()},
        loads={key: time / covered[key] for key, time in busy.items()},
        seconds=samples[-1].at - samples[0].at if samples else 0.0,
    )


def _seconds(counters: Counters) -> float:
    return counters.read_seconds + counters.write_seconds
