"""Bundles into pools: as much as possible is placed, then evenly.

By decreasing size, then a search for what was left over, then one for evenness: docs/decisions/0018 has how near that
comes to what solvers find. Deterministic: the same fleet gives the same plan.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svmove.plan.ledger import Bundle, Ledger

Preference = Callable[[Ledger, Bundle, str], tuple[float, ...]]

# Of the repair: so many bundles of a pool are tried to be sent on for one that has no room. More found nothing more.
_TRIED = 64
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
        best = min((_repair(bundles, found) for found in (best, packed)), key=lambda found: _missing(bundles, found))
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


def _repair(bundles: Sequence[Bundle], found: Packing) -> Packing:
    """Room is made for what was left over: one bundle goes from the pool that it would go to into another one; and
    where a smaller one that has a pool takes the place of a larger one, the smaller one is left."""
    now, pools, left = found.ledger.copy(), dict(found.pools), list(found.left)
    there: dict[str, set[int]] = {}
    for number, pool in pools.items():
        there.setdefault(pool, set()).add(number)
    still: list[int] = []
    queue = sorted(left, key=lambda n: (-bundles[n].thin, n))
    for number in queue:
        if not _push(number, bundles, now, pools, there) and not _swap(number, bundles, now, pools, there, queue):
            still.append(number)
    return Packing(pools=pools, left=tuple(still), ledger=now)


def _push(
    number: int, bundles: Sequence[Bundle], now: Ledger, pools: dict[int, str], there: dict[str, set[int]]
) -> bool:
    what = bundles[number]
    for pool in what.pools:
        if now.fits(what, pool):
            _settle(number, pool, bundles, now, pools, there)
            return True
        short = now.need(what, pool) - now.room[now.pools[pool].place]
        # The smallest that is enough finds another place most easily.
        able = [n for n in there.get(pool, ()) if now.need(bundles[n], pool) >= short and len(bundles[n].pools) > 1]
        for other in sorted(able, key=lambda n: (bundles[n].thin, n))[:_TRIED]:
            now.undo(bundles[other], pool)
            new = next((p for p in bundles[other].pools if p != pool and now.fits(bundles[other], p)), None)
            if new is not None and now.fits(what, pool):
                there[pool].discard(other)
                _settle(other, new, bundles, now, pools, there)
                _settle(number, pool, bundles, now, pools, there)
                return True
            now.put(bundles[other], pool)
    return False


def _swap(
    number: int,
    bundles: Sequence[Bundle],
    now: Ledger,
    pools: dict[int, str],
    there: dict[str, set[int]],
    queue: list[int],
) -> bool:
    """It takes the place of the smallest with which it fits; that one is tried once more, at the queue's end."""
    what = bundles[number]
    for pool in what.pools:
        smaller = [n for n in there.get(pool, ()) if bundles[n].freed < what.freed]
        for other in sorted(smaller, key=lambda n: (bundles[n].freed, n))[:_TRIED]:
            now.undo(bundles[other], pool)
            if now.fits(what, pool):
                there[pool].discard(other)
                del pools[other]
                _settle(number, pool, bundles, now, pools, there)
                queue.append(other)
                return True
            now.put(bundles[other], pool)
    return False


def _settle(
    number: int,
    pool: str,
    bundles: Sequence[Bundle],
    now: Ledger,
    pools: dict[int, str],
    there: dict[str, set[int]],
) -> None:
    now.put(bundles[number], pool)
    pools[number] = pool
    there.setdefault(pool, set()).add(number)


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
        there[fullest].discard(number)
        _settle(number, to, bundles, now, pools, there)
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
