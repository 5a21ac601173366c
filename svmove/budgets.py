"""How many moves may run at once, and how fast together: what the policy says of hosts and pools.

Every move takes one slot of its host, and one of each pool that it reads from or writes to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsPolicy:
    # VMware's own limits: a host's budget is 8 and a storage move costs 4; a datastore's is 128, and it costs 16.
    host: int = 2
    pool: int = 8
    # A move comes before those of the next higher priority that are so much younger: nobody waits for ever.
    ageing: float = field(default=1800.0, metadata={"unit": "duration"})

    def __post_init__(self) -> None:
        _at_least_one("host", self.host)
        _at_least_one("pool", self.pool)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """Of one pool, `[pools.NAME]`; None: as of every pool."""

    slots: int | None = None  # None: slots.pool
    # Divided among the moves that have a slot of it. None: no limit.
    bandwidth: int | None = field(default=None, metadata={"unit": "rate"})
    # Whether pools of that name on several hosts are one storage. None: those on the network are, others aren't.
    shared: bool | None = None
    # Left free in this pool, instead of space.reserve.
    reserve: int | None = field(default=None, metadata={"unit": "size"})
    # The capacities of all its volumes together may be at most so many times its own, instead of space.overcommit.
    overcommit: float | None = None

    def __post_init__(self) -> None:
        if self.slots is not None:
            _at_least_one("slots", self.slots)
        if self.overcommit is not None and self.overcommit <= 0:
            raise ValueError("overcommit: more than 0")


def _at_least_one(key: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{key}: at least 1, or nothing could ever move")


class PlaceKind(StrEnum):
    HOST = "host"
    POOL = "pool"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """What has slots."""

    kind: PlaceKind
    name: str
    host: str | None = None  # of a pool that this host alone has; None: one storage for all hosts

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def written(places: Iterable[Place]) -> list[list[str | None]]:
    """As JSON has them."""
    return [[place.kind, place.name, place.host] for place in places]


def read(places: Iterable[Any]) -> tuple[Place, ...]:
    """Raises ValueError for what `written` has not made."""
    return tuple(Place(kind=PlaceKind(kind), name=name, host=host) for kind, name, host in places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Why a move can't begin yet."""

    place: Place  # that has no slot free; of several the one with the longest queue
    position: int  # in the queue for it, from 1
    first: bool = True  # of all who wait for one of the full places: it sees to it that a slot is not left unused
    # Moves whose end, or death, may let it go on, or make it the next.
    watch: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"waits for a slot of {self.place} (position {self.position})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    slots: SlotsPolicy = SlotsPolicy()
    pools: Mapping[str, PoolPolicy] = field(default_factory=dict)

    def limit(self, place: Place) -> int:
        if place.kind is PlaceKind.HOST:
            return self.slots.host
        own = self.pools.get(place.name)
        return self.slots.pool if own is None or own.slots is None else own.slots

    def bandwidth(self, place: Place) -> int | None:
        """Of all moves on it together, bytes/s."""
        own = self.pools.get(place.name) if place.kind is PlaceKind.POOL else None
        return own.bandwidth if own else None

    def pool(self, name: str, host: str, *, network: bool) -> Place:
        """`network`: its storage is on the network, by the type of the pool."""
        own = self.pools.get(name)
        shared = network if own is None or own.shared is None else own.shared
        return Place(kind=PlaceKind.POOL, name=name, host=None if shared else host)
