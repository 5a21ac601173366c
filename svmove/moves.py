"""What is wanted, planned, seen on the way, and come out: the records of a move."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Format(StrEnum):
    KEEP = "keep"
    RAW = "raw"
    QCOW2 = "qcow2"


class Method(StrEnum):
    """How the bytes get over."""

    AUTO = "auto"  # of a request only: the plan says which
    MIRROR = "mirror"  # QEMU's mirror with its dirty bitmap
    SYNCHRONOUS = "synchronous"  # likewise, and the guest's writes wait for both copies
    SNAPSHOT = "snapshot"  # frozen, copied out of process, proven; what the guest wrote meanwhile is mirrored
    OFFLINE = "offline"  # the guest is off


class Verify(StrEnum):
    CUTOVER = "cutover"  # source against destination as both were at the cutover
    BEFORE = "before"  # what is frozen before the switch, the rest as it was at the cutover
    NONE = "none"


class Base(StrEnum):
    """What becomes of the files below a disk that others use as well: templates."""

    COPY = "copy"
    FIND = "find"  # one of that name at the destination is used, if it is equal
    STAY = "stay"  # they, and what lies below them, stay where they are


class Allocation(StrEnum):
    """What a volume takes of its pool from the start."""

    KEEP = "keep"  # as the source does
    THIN = "thin"  # what is written
    FULL = "full"  # all that it can ever hold


class Level(StrEnum):
    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


class State(StrEnum):
    DONE = "done"
    ALREADY_THERE = "already-there"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    HELD = "held"
    HANDED_OVER = "handed-over"  # another move carries on
    STARTED = "started"  # another process works on it


class Way(StrEnum):
    """Out of HELD."""

    FORWARD = "forward"
    BACK = "back"


class GuestOn(StrEnum):
    SOURCE = "source"
    DESTINATION = "destination"
    MIXED = "mixed"  # some disks here, some there
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRequest:
    """One --disk: what is left None comes from the request."""

    target: str
    pool: str | None = None
    format: Format | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    domain: str
    to: str | None
    disks: tuple[DiskRequest, ...] = ()  # empty: all that can move
    format: Format = Format.KEEP
    bandwidth: int | None = None  # bytes/s over all disks; None: the policy's
    verify: Verify | None = None  # None: the method's
    keep_source: bool = False
    max_pause: float | None = None  # seconds; None: the policy's
    method: Method = Method.AUTO
    flatten: bool = False  # one file instead of a chain
    base: Base = Base.COPY
    deadline: float | None = None  # seconds from the start to the cutover; None: the policy's
    allocation: Allocation = Allocation.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    level: Level
    code: str  # stable, docs/findings.md
    text: str
    remedy: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A volume to be made in a pool. `cluster_bytes` and below are qcow2's."""

    pool: str
    name: str
    path: str
    format: str
    capacity: int
    cluster_bytes: int | None = None
    compat: str | None = None
    extended_l2: bool = False
    lazy_refcounts: bool = False
    backing: str | None = None  # path of the file below it
    backing_format: str | None = None
    full: bool = False  # fully allocated when the guest is switched to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A file below a disk's top. Nobody writes to it."""

    source: str  # path
    source_format: str
    pool_from: str | None
    volume_from: str | None
    destination: VolumeSpec | None  # None: it stays where it is, or is flattened into the top
    copy_bytes: int  # estimate: what is allocated
    delete_source: bool
    found: bool = False  # it is at the destination already, and must be equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Of method `snapshot`: takes what the guest writes meanwhile; merged into the file below it in the end."""

    source: VolumeSpec
    destination: VolumeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPlan:
    target: str
    source: str  # path
    source_format: str
    pool_from: str | None  # None: in no pool
    volume_from: str | None
    destination: VolumeSpec
    copy_bytes: int  # estimate: what is allocated
    bandwidth: int | None  # this disk's share
    delete_source: bool
    layers: tuple[Layer, ...] = ()  # the chain below it, nearest first
    overlay: Overlay | None = None
    granularity: int | None = None  # of its dirty bitmap, as the guest writes; None: the plan's

    @property
    def lands(self) -> VolumeSpec:
        """What the guest is switched to."""
        return self.overlay.destination if self.overlay else self.destination

    @property
    def leaves(self) -> str:
        """The file that the guest is switched from."""
        return self.overlay.source.path if self.overlay else self.source

    @property
    def leaves_format(self) -> str:
        return self.overlay.source.format if self.overlay else self.source_format

    @property
    def sources(self) -> tuple[str, ...]:
        """What the guest may run on before the switch."""
        return (self.source, self.overlay.source.path) if self.overlay else (self.source,)

    @property
    def destinations(self) -> tuple[str, ...]:
        """What it may run on after the switch."""
        return (self.destination.path, self.overlay.destination.path) if self.overlay else (self.destination.path,)

    @property
    def shallow(self) -> bool:
        """Its top alone is mirrored: what lies below is, or will be, below the destination as well."""
        return self.lands.backing is not None

    @property
    def frozen(self) -> dict[str, tuple[Layer, VolumeSpec]]:
        """What is copied out of process, since nobody writes to it while the move lasts: by its key in the journal,
        nearest to the top first."""
        found = self.top if self.overlay is not None else {}
        for number, layer in enumerate(self.layers, start=1):
            if layer.destination is not None:
                found[f"{self.target}:{number}"] = (layer, layer.destination)
        return found

    @property
    def top(self) -> dict[str, tuple[Layer, VolumeSpec]]:
        """The disk's own file, as what is copied out of process."""
        own = Layer(
            source=self.source,
            source_format=self.source_format,
            pool_from=self.pool_from,
            volume_from=self.volume_from,
            destination=self.destination,
            copy_bytes=self.copy_bytes,
            delete_source=self.delete_source,
        )
        return {self.target: (own, self.destination)}

    @property
    def deletable(self) -> dict[str, str]:
        """The files that are not needed any more when it has moved, by their key in the journal: paths."""
        return {self.target: self.source} | {
            f"{self.target}:{number}": layer.source for number, layer in enumerate(self.layers, start=1)
        }

    def lies_in(self, key: str) -> tuple[str, str] | None:
        """Pool and volume of one of `deletable`; None: it is in no pool."""
        layer = self.layers[int(key.rpartition(":")[2]) - 1] if key != self.target else None
        pool, name = (layer.pool_from, layer.volume_from) if layer else (self.pool_from, self.volume_from)
        return (pool, name) if pool is not None and name is not None else None

    def volume_of(self, key: str) -> tuple[str, str] | None:
        """Likewise, of one that is to be deleted; None: it stays."""
        layer = self.layers[int(key.rpartition(":")[2]) - 1] if key != self.target else None
        goes = layer.delete_source if layer else self.delete_source
        return self.lies_in(key) if goes else None

    @property
    def stays(self) -> frozenset[str]:
        """What the disk consists of in the end: the destination and the chain below it. Paths."""
        below = {layer.destination.path for layer in self.layers if layer.destination is not None}
        return frozenset({self.destination.path} | below)

    @property
    def made(self) -> dict[str, VolumeSpec]:
        """The volumes that the move makes, by their key in the journal; what others lie on comes first."""
        below = [(key, spec) for key, (layer, spec) in self.frozen.items() if key != self.target and not layer.found]
        found = dict(reversed(below))
        found[self.target] = self.destination
        if self.overlay is not None:
            found[f"{self.target}:from"] = self.overlay.source
            found[f"{self.target}:to"] = self.overlay.destination
        return found

    @property
    def moved(self) -> dict[str, str]:
        """Path at the source → path at the destination, of all that the disk consists of."""
        below = {layer.source: layer.destination.path for layer in self.layers if layer.destination is not None}
        return {self.source: self.destination.path} | below


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How QEMU mirrors a disk."""

    bandwidth: int | None = None  # bytes/s, holes included
    granularity: int | None = None  # bytes of a bit of the dirty bitmap, a power of two; None: QEMU's choice
    buffer: int = 0  # bytes; 0: QEMU's choice
    synchronous: bool = False  # a guest's write waits for both copies
    shallow: bool = False  # the top of the chain alone: what lies below the destination is the chain's copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be changed while a move is under way."""

    bandwidth: int | None  # bytes/s over all disks, data only; None: no limit
    max_pause: float  # seconds
    deadline: float | None  # seconds from the start to the cutover; None: it may take as long as it takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    move: str  # the id
    domain: str
    uuid: str
    method: Method
    disks: tuple[DiskPlan, ...]
    there: tuple[str, ...]  # targets that are already where they should be
    verify: Verify
    max_pause: float
    granularity: int | None
    buffer: int
    findings: tuple[Finding, ...]
    copy_bytes: int
    copy_seconds: float
    created: float  # Unix time
    deadline: float | None = None  # seconds; plans of older journals have none
    why: str = ""  # this method

    def terms(self, changes: Mapping[str, Any]) -> Terms:
        """As they are after the changes: by name, the newest of each."""
        planned = [disk.bandwidth for disk in self.disks if disk.bandwidth is not None]
        return Terms(
            bandwidth=changes.get("bandwidth", sum(planned) or None),
            max_pause=changes.get("max_pause", self.max_pause),
            deadline=changes.get("deadline", self.deadline),
        )

    @property
    def refused(self) -> bool:
        return any(finding.level is Level.REFUSE for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An extent in which source and destination differ."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOutcome:
    target: str
    pool_from: str | None
    pool_to: str
    source: str
    destination: str
    format: str
    virtual_bytes: int
    # Allocated at the destination when the copy was ready. QEMU's own count has the holes in it.
    copied_bytes: int
    verify: Verify
    verified: bool
    mismatches: tuple[Mismatch, ...] = ()
    on: GuestOn = GuestOn.UNKNOWN  # which copy the guest has


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    total: float = 0.0
    copy: float = 0.0
    pause: float = 0.0
    verify: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    code: str
    text: str
    guest_on: GuestOn
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    move: str | None  # None: nothing was begun
    domain: str | None  # None: of a move whose domain is not known
    state: State
    method: Method
    disks: tuple[DiskOutcome, ...]
    seconds: Seconds
    findings: tuple[Finding, ...]
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a disk and its files when a held move leaves in some direction. Paths."""

    target: str
    keeps: tuple[str, ...]
    loses: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A way out of HELD, for a person to say yes to."""

    move: str
    domain: str
    way: Way
    seen: str
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One moment of a move, for whoever looks on."""

    move: str
    phase: str
    target: str | None = None  # None: of the whole move
    done: int = 0
    end: int = 0
    text: str | None = None
    seconds: float | None = None  # until it is ready, as it goes
    converges: bool | None = None  # False: never ready as it goes; None: not known
