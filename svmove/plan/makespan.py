"""How long all copies take: some guests at a time, each as soon as its host and its pools have a slot for it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from svmove.budgets import Budgets, Place, PlaceKind
from svmove.proposals import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """Of one guest, in one round."""

    seconds: float
    pools: frozenset[str]


def makespan(moves: Sequence[Proposal], at_once: int, budgets: Budgets) -> float:
    """Seconds until the last copy has ended. A round begins when the one before has ended; in it the longest come
    first, `at_once` of them, and one that has no slot waits. A pool's bandwidth is shared, so all that goes through it
    takes its time at least."""
    total = 0.0
    for number in sorted({move.round for move in moves}):
        here = [move for move in moves if move.round == number]
        total += max(_queued(_by_guest(here), at_once, budgets), _through(here, budgets))
    return total


def _queued(waiting: list[_Move], at_once: int, budgets: Budgets) -> float:
    now, begun, running = 0.0, list[_Move](), list[tuple[float, _Move]]()
    while waiting or begun or running:
        while waiting and len(begun) + len(running) < at_once:
            begun.append(waiting.pop(0))
        for move in list(begun):
            if _has_slots(move, [one for _, one in running], budgets):
                begun.remove(move)
                running.append((now + move.seconds, move))
        now = min(end for end, _ in running)
        running = [one for one in running if one[0] > now]
    return now


def _has_slots(move: _Move, running: Sequence[_Move], budgets: Budgets) -> bool:
    taken = Counter(pool for one in running for pool in one.pools)
    return len(running) < budgets.slots.host and all(taken[pool] < budgets.limit(_place(pool)) for pool in move.pools)


def _through(moves: Iterable[Proposal], budgets: Budgets) -> float:
    """Seconds that the pools need for all that they may only let through slowly."""
    size: Counter[str] = Counter()
    for move in moves:
        for pool in {move.pool_from, move.pool_to}:
            size[pool] += move.copy_bytes
    rates = {pool: budgets.bandwidth(_place(pool)) for pool in size}
    return max((size[pool] / rate for pool, rate in rates.items() if rate), default=0.0)


def _by_guest(moves: Iterable[Proposal]) -> list[_Move]:
    """The longest first."""
    found: defaultdict[str, list[Proposal]] = defaultdict(list)
    for move in moves:
        found[move.uuid].append(move)
    made = [
        _Move(
            seconds=sum(one.seconds for one in disks),
            pools=frozenset(pool for one in disks for pool in (one.pool_from, one.pool_to)),
        )
        for disks in found.values()
    ]
    return sorted(made, key=lambda move: move.seconds, reverse=True)


def _place(pool: str) -> Place:
    return Place(kind=PlaceKind.POOL, name=pool)
