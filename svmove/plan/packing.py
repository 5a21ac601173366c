"""Bundles into pools: as much as possible is placed, then evenly.

By decreasing size, then a search for what was left over, then one for evenness: docs/decisions/0018 has how near that
comes to what solvers find. Deterministic: the same fleet gives the same plan.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svmove.plan.ledger import Bar, Bundle, Ledger

Preference = Callable[[Ledger, Bundle, str], tuple[float, ...]]

# Of the repair: so many bundles of a pool are tried to be sent on for one that has no room; and so many in all, which
# takes about a second. More found nothing more (bench/packing.py).
_TRIED = 32
_EFFORT = 50_000
# Of the search for evenness: each round moves one bundle away from the fullest pool.
_ROUNDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    pools: Mapping[int, str]  # by the bundle's number
    left: tuple[int, ...]  # the numbers of those that have no pool
    ledger: Ledger  # as it is then; nothing has left its source


def pack(bundles: Sequence[Bundle], ledger: Ledger, slow: Mapping[str, bool]) -> Packing:
    """`slow`: pools that are taken only when no other will do. The ledger that is handed in stays as it is."""

    def spread(now: Ledger, what: Bundle, pool: str) -> tuple[float, ...]:
        return (slow.get(pool, False), now.fill(pool, now.need(what, pool)))

    def tight(now: Ledger, what: Bundle, pool: str) -> tuple[float, ...]:
        return (now.room[now.pools[pool].place] - now.need(what, pool),)

    best = _greedy(bundles, ledger, spread)
    if best.left:
        packed = _greedy(bundles, ledger, tight)
        repaired = (_Repair(bundles, found).run() for found in (best, packed))
        best = min(repaired, key=lambda found: _missing(bundles, found))
    return _even(bundles, best, slow)


def _missing(bundles: Sequence[Bundle], found: Packing) -> int:
    return sum(bundles[number].freed for number in found.left)


def _greedy(bundles: Sequence[Bundle], ledger: Ledger, preference: Preference) -> Packing:
    now, pools, left = ledger.copy(), dict[int, str](), list[int]()
    # What has few pools to go to chooses first; then the largest.
    order = sorted(range(len(bundles)), key=lambda n: (len(bundles[n].pools) > 1, -bundles[n].thin, n))
    for number in order:
        what = bundles[number]
        fitting = [pool for pool in what.pools if now.fits(what, pool)]
        if not fitting:
            left.append(number)
            continue
        chosen = min(fitting, key=lambda pool: (preference(now, what, pool), pool))
        now.put(what, chosen)
        pools[number] = chosen
    return Packing(pools=pools, left=tuple(left), ledger=now)


class _Repair:
    """Room is made for what was left over: one bundle goes from the pool that it would go to into another one; or where
    a smaller one has taken a place, it gets that, and the smaller one is left."""

    def __init__(self, bundles: Sequence[Bundle], found: Packing) -> None:
        self._bundles = bundles
        self._now = found.ledger.copy()
        self._pools = dict(found.pools)
        self._left = found.left
        self._trials = 0
        # Of each pool its bundles by size: those that would be enough are found at once.
        self._there: dict[str, list[tuple[int, int]]] = {pool: [] for pool in self._now.pools}
        for number, pool in self._pools.items():
            self._there[pool].append((bundles[number].thin, number))
        for sizes in self._there.values():
            sizes.sort()

    def run(self) -> Packing:
        still: list[int] = []
        queue = sorted(self._left, key=lambda n: (-self._bundles[n].thin, n))
        for number in queue:
            if self._trials > _EFFORT or not (self._push(number) or self._swap(number, queue)):
                still.append(number)
        return Packing(pools=self._pools, left=tuple(still), ledger=self._now)

    def _push(self, number: int) -> bool:
        what, now = self._bundles[number], self._now
        for pool in what.pools:
            bar = now.bar(what, pool)
            if bar is None:
                self._settle(number, pool)
                return True
            for other in self._in_the_way(what, pool, bar):
                self._take_out(other, pool)
                if now.fits(what, pool):
                    # First this one is there: pools may share their room.
                    self._settle(number, pool)
                    if (new := self._elsewhere(other, pool)) is not None:
                        self._settle(other, new)
                        return True
                    self._take_out(number, pool)
                self._settle(other, pool)
        return False

    def _elsewhere(self, number: int, pool: str) -> str | None:
        what = self._bundles[number]
        return next((other for other in what.pools if other != pool and self._now.fits(what, other)), None)

    def _swap(self, number: int, queue: list[int]) -> bool:
        """The smaller one is tried once more, at the queue's end."""
        what = self._bundles[number]
        for pool in what.pools:
            bar = self._now.bar(what, pool)
            for other in self._in_the_way(what, pool, bar) if bar is not None else ():
                if self._bundles[other].freed >= what.freed:
                    break
                self._take_out(other, pool)
                if self._now.fits(what, pool):
                    self._settle(number, pool)
                    queue.append(other)
                    return True
                self._settle(other, pool)
        return False

    def _in_the_way(self, what: Bundle, pool: str, bar: Bar) -> list[int]:
        """The smallest that is enough finds another place most easily."""
        there = self._there[pool]
        if bar in (Bar.ROOM, Bar.PROMISE):
            short = self._now.need(what, pool) - self._now.room[self._now.pools[pool].place]
            first = bisect_left(there, (short, 0))
            found = [number for _, number in there[first : first + _TRIED]]
        else:
            rules = {rule for rule, _ in what.parties}
            names = {disk.volume for disk in what.disks}
            found = [
                number
                for _, number in there
                if any(rule in rules for rule, _ in self._bundles[number].parties)
                or any(disk.volume in names for disk in self._bundles[number].disks)
            ][:_TRIED]
        self._trials += len(found)
        return found

    def _take_out(self, number: int, pool: str) -> None:
        self._now.undo(self._bundles[number], pool)
        there = self._there[pool]
        del there[bisect_left(there, (self._bundles[number].thin, number))]
        del self._pools[number]

    def _settle(self, number: int, pool: str) -> None:
        self._now.put(self._bundles[number], pool)
        insort(self._there[pool], (self._bundles[number].thin, number))
        self._pools[number] = pool


def _even(bundles: Sequence[Bundle], found: Packing, slow: Mapping[str, bool]) -> Packing:
    """The fullest pool gives to the others, as long as none becomes as full as it was."""
    now, pools = found.ledger, dict(found.pools)
    there: dict[str, set[int]] = {}
    for number, pool in pools.items():
        there.setdefault(pool, set()).add(number)
    for _ in range(_ROUNDS if there else 0):
        fullest = max(there, key=now.fill)
        if (step := _step(bundles, now, there[fullest], fullest, slow)) is None:
            break
        number, to = step
        now.undo(bundles[number], fullest)
        now.put(bundles[number], to)
        pools[number] = to
        there[fullest].discard(number)
        there.setdefault(to, set()).add(number)
    return Packing(pools=pools, left=found.left, ledger=now)


def _step(
    bundles: Sequence[Bundle], now: Ledger, numbers: set[int], fullest: str, slow: Mapping[str, bool]
) -> tuple[int, str] | None:
    before, best, found = now.fill(fullest), now.fill(fullest), None
    # The largest bring the most; with those that are too large for any other pool it is not over.
    for number in sorted(numbers, key=lambda n: (-bundles[n].thin, n)):
        what = bundles[number]
        after = now.fill(fullest, -now.need(what, fullest))
        for pool in what.pools:
            if pool == fullest or slow.get(pool, False) > slow.get(fullest, False):
                continue
            highest = max(after, now.fill(pool, now.need(what, pool)))
            if highest < best and now.fits(what, pool):
                best, found = highest, (number, pool)
        if found is not None and after >= best:
            break  # smaller ones leave this pool fuller than that
    return found if best < before else None
