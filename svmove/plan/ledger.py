"""What each pool has, and has taken, while placing is thought through: room, promises, who is there.

Invariant: `fits` says yes only to what leaves every reserve free, keeps every overcommit limit, brings no two
parties of an `apart` rule into one pool and gives no volume a name that is taken, however full or mixed the pools were
before.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from svmove.fleet import Fleet, FleetDisk, FleetPool
from svmove.plan.places import KINDS
from svmove.plan.rules import Party, Rules
from svmove.policy import Policy


class Bar(StrEnum):
    """Why something does not fit in a pool."""

    ROOM = "room"
    PROMISE = "overcommit"
    APART = "apart"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Disks that are placed as one: all go to the same pool, from the same pool. Sizes are bytes."""

    disks: tuple[FleetDisk, ...]
    thin: int  # room where a volume takes what is written to it, with what is written meanwhile
    full: int  # where it has room for all from the start
    promised: int
    freed: int  # by its leaving
    parties: tuple[Party, ...]
    blank: bool = False  # nothing is written to it yet: where promises are limited, they alone count
    pools: tuple[str, ...] = ()  # where it may be, by its shape and the rules, whatever room there is

    @property
    def load(self) -> float:
        return sum(disk.load for disk in self.disks)

    @property
    def source(self) -> str:
        return self.disks[0].pool


def bundle(disks: Iterable[FleetDisk], rules: Rules, policy: Policy) -> Bundle:
    of = tuple(disks)
    return Bundle(
        disks=of,
        thin=sum(grown(disk, policy.space.growth) for disk in of),
        full=sum(max(disk.capacity, disk.allocation) for disk in of),
        promised=sum(disk.capacity for disk in of),
        freed=sum(disk.allocation for disk in of),
        parties=rules.parties(of),
    )


def grown(disk: FleetDisk, growth: float) -> int:
    """What it takes when it has arrived, if its guest writes meanwhile."""
    more = round(disk.allocation * growth) if disk.running else 0
    return max(disk.allocation, min(disk.allocation + more, disk.capacity))


class Ledger:
    """Of the pools that are active; pools of one place share its room."""

    def __init__(self, fleet: Fleet, rules: Rules, policy: Policy) -> None:
        self.pools: dict[str, FleetPool] = {pool.name: pool for pool in fleet.pools if pool.active}
        self._thin = {name: (kind := KINDS.get(p.type)) is None or kind.thin for name, p in self.pools.items()}
        self.room: dict[str, int] = {}  # by place, beyond the reserve
        self.free: dict[str, int] = {}  # likewise, with it
        self.capacity: dict[str, int] = {}
        reserves: dict[str, int] = defaultdict(int)
        for name, pool in self.pools.items():
            reserves[pool.place] = max(reserves[pool.place], policy.reserve(name))
            # Pools of one file system were asked one after the other.
            self.free[pool.place] = min(self.free.get(pool.place, pool.available), pool.available)
            self.capacity[pool.place] = max(self.capacity.get(pool.place, 0), pool.capacity)
        self.room = {place: free - reserves[place] for place, free in self.free.items()}
        self.promises = {
            name: round(limit * pool.capacity) - pool.promised
            for name, pool in self.pools.items()
            if (limit := policy.overcommit(name)) is not None
        }
        self._names: dict[str, set[str]] = defaultdict(set)
        for disk in fleet.disks:
            self._names[disk.pool].add(disk.volume)
        for loose in fleet.loose:
            self._names[loose.pool].add(loose.volume)
        self._there: dict[tuple[tuple[int, str], str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for disk in fleet.disks if rules.apart else ():
            self._enter(disk.pool, rules.apart.get(disk.key, ()))

    def copy(self) -> Self:
        made = object.__new__(type(self))
        made.pools, made._thin, made.capacity = self.pools, self._thin, self.capacity
        made.room, made.free, made.promises = dict(self.room), dict(self.free), dict(self.promises)
        made._names = defaultdict(set, {pool: set(names) for pool, names in self._names.items()})
        made._there = defaultdict(lambda: defaultdict(int))
        for key, parties in self._there.items():
            made._there[key] = defaultdict(int, parties)
        return made

    def need(self, what: Bundle, pool: str) -> int:
        if what.blank and self._thin[pool] and pool in self.promises:
            return 0
        return what.thin if self._thin[pool] else what.full

    def bar(self, what: Bundle, pool: str) -> Bar | None:
        """Why it does not fit there now."""
        if self.need(what, pool) > self.room[self.pools[pool].place]:
            return Bar.ROOM
        if pool in self.promises and what.promised > self.promises[pool]:
            return Bar.PROMISE
        if what.parties and self._meets(what, pool):
            return Bar.APART
        names = self._names[pool]
        return Bar.NAME if any(disk.volume in names for disk in what.disks) else None

    def fits(self, what: Bundle, pool: str) -> bool:
        return self.bar(what, pool) is None

    def put(self, what: Bundle, pool: str) -> None:
        """It arrives, or is on its way: from now on it takes its room there."""
        self._take(what, pool, 1)
        self._names[pool].update(disk.volume for disk in what.disks if disk.volume)
        self._enter(pool, what.parties)

    def undo(self, what: Bundle, pool: str) -> None:
        """It is not put there after all."""
        self._take(what, pool, -1)
        self._names[pool].difference_update(disk.volume for disk in what.disks)
        self._leave(pool, what.parties)

    def leave(self, what: Bundle) -> None:
        """It has left its source, which has that room again."""
        place = self.pools[what.source].place
        self.room[place] += what.freed
        self.free[place] += what.freed
        if what.source in self.promises:
            self.promises[what.source] += what.promised
        self._names[what.source].difference_update(disk.volume for disk in what.disks)
        self._leave(what.source, what.parties)

    def fill(self, pool: str, more: int = 0) -> float:
        """The part of its place that is taken, with `more` bytes in it."""
        place = self.pools[pool].place
        capacity = self.capacity[place]
        return (capacity - self.free[place] + more) / capacity if capacity else 1.0

    def _take(self, what: Bundle, pool: str, times: int) -> None:
        place, size = self.pools[pool].place, self.need(what, pool) * times
        self.room[place] -= size
        self.free[place] -= size
        if pool in self.promises:
            self.promises[pool] -= what.promised * times

    def _meets(self, what: Bundle, pool: str) -> bool:
        ours: dict[tuple[int, str], str] = {}
        for rule, party in what.parties:
            if ours.setdefault(rule, party) != party:
                return True  # two of its own disks must not be in one pool
            others = self._there.get((rule, pool))
            if others and any(other != party for other in others):
                return True
        return False

    def _enter(self, pool: str, parties: Iterable[Party]) -> None:
        for rule, party in parties:
            self._there[rule, pool][party] += 1

    def _leave(self, pool: str, parties: Iterable[Party]) -> None:
        for rule, party in parties:
            there = self._there[rule, pool]
            there[party] -= 1
            if not there[party]:
                del there[party]
