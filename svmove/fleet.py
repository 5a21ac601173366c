"""All pools and disks of one libvirt at one moment, by the facts that are cheap to have: what placing is decided by.

Each move's own plan still looks at everything (`svmove.model.Inventory`). Sizes are bytes, times seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a guest has asked of a disk since it was started. Times are the sums of all requests'."""

    reads: int
    writes: int
    read_seconds: float
    write_seconds: float


DiskKey = tuple[str, str]  # the domain's UUID, the disk's target


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPool:
    name: str
    type: str
    active: bool
    capacity: int
    allocation: int
    available: int
    place: str  # pools on one file system have one place, and share its room
    promised: int = 0  # the capacities of its volumes
    emptying: bool = False  # it takes nothing new
    latency: float | None = None  # of its requests; None: nothing was sampled


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Why something can't move."""

    code: str  # docs/placement.md
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDisk:
    guest: str
    uuid: str
    target: str
    pool: str
    volume: str
    capacity: int  # what the guest sees
    allocation: int  # what it takes now, with the files below it in the same pool that are its own
    running: bool
    tags: tuple[tuple[str, str], ...] = ()
    files_only: bool = False  # it can't go to devices or the network
    stays: Stay | None = None
    load: float = 0.0  # requests under way, on average

    @property
    def key(self) -> DiskKey:
        return self.uuid, self.target

    def __str__(self) -> str:
        return f"{self.guest}/{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """A volume that is no guest's disk by itself: of nobody, below a disk, in a drive."""

    pool: str
    volume: str
    allocation: int
    stays: Stay
    guest: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    pools: tuple[FleetPool, ...]
    disks: tuple[FleetDisk, ...]
    loose: tuple[Loose, ...] = ()
    # Bytes per second of earlier moves, by (pool, pool).
    past_rates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    # By disk: when it was moved last (Unix time), of those that were lately.
    moved: Mapping[DiskKey, float] = field(default_factory=dict)

    def pool(self, name: str) -> FleetPool | None:
        return next((pool for pool in self.pools if pool.name == name), None)
