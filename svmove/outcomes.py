"""What is seen of a move on its way, and what has come of it."""

from dataclasses import dataclass
from enum import StrEnum

from svmove.model import CopyWay
from svmove.moves import Finding
from svmove.requests import Method, Verify


class State(StrEnum):
    DONE = "done"
    ALREADY_THERE = "already-there"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    HELD = "held"
    HANDED_OVER = "handed-over"  # another move carries on
    STARTED = "started"  # another process works on it


class GuestOn(StrEnum):
    SOURCE = "source"
    DESTINATION = "destination"
    MIXED = "mixed"  # some disks here, some there
    OFF = "off"
    UNKNOWN = "unknown"


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
    trimmed_bytes: int = 0  # of the source, by --trim: they were not copied
    way: CopyWay | None = None  # how what was frozen was copied out of process; None: QEMU mirrored it
    overwritten: bool = (
        False  # what was in the destination, which was there before, is lost; the guest is on its source
    )
    shared: bool = False  # proven by sharing every extent with the source, which reads no data


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumOutcome:
    """An image in a CD-ROM or floppy drive."""

    target: str
    pool_to: str
    source: str
    destination: str
    on: GuestOn  # which of the two the drive has
    found: bool  # an equal image was at the destination already


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    total: float = 0.0
    copy: float = 0.0
    pause: float = 0.0
    verify: float = 0.0
    waited: float = 0.0  # for a slot; part of the total


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
    media: tuple[MediumOutcome, ...] = ()


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
