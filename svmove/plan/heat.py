"""How slow each pool is, and would be with other disks in it.

The model: a pool's latency grows in proportion to the requests that are under way in it (as in BASIL, FAST 2010, but
without its constant part, which one figure can't tell apart). So each pool has a slope, seconds per request under way.
"""

from statistics import median

from svmove.fleet import Fleet

# Below it a pool is idle, and its latency says nothing of what it could do: requests under way, on average.
_IDLE = 0.01


class Heat:
    def __init__(self, fleet: Fleet) -> None:
        self._load: dict[str, float] = {pool.name: 0.0 for pool in fleet.pools}
        for disk in fleet.disks:
            if disk.pool in self._load:
                self._load[disk.pool] += disk.load
        self._slope = {
            pool.name: pool.latency / self._load[pool.name]
            for pool in fleet.pools
            if pool.latency is not None and self._load[pool.name] > _IDLE
        }
        self._usual = median(self._slope.values()) if self._slope else None

    def latency(self, pool: str) -> float | None:
        """Of its requests, in seconds; None: nothing was sampled."""
        return self.with_(pool, 0.0)

    def with_(self, pool: str, more: float) -> float | None:
        """With so many requests more under way. A pool that nothing is known of counts as one of the middle."""
        slope = self._slope.get(pool, self._usual)
        return None if slope is None else slope * max(self._load[pool] + more, 0.0)

    def move(self, source: str, to: str, load: float) -> None:
        self._load[source] -= load
        self._load[to] += load
