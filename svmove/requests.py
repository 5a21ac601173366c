"""What is wanted of a move."""

from dataclasses import dataclass
from enum import StrEnum

from svmove.budgets import Priority
from svmove.location import Secret
from svmove.windows import Moment


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRequest:
    """One --disk: what is left None comes from the request."""

    target: str
    pool: str | None = None
    format: Format | None = None
    name: str | None = None
    encrypt: Secret | None = None
    decrypt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    domain: str
    to: str | None
    disks: tuple[DiskRequest, ...] = ()  # empty: all that can move
    format: Format = Format.KEEP
    bandwidth: int | None = None  # bytes/s over all disks; None: the policy's
    verify: Verify | None = None  # None: the method's
    keep_source: bool = False  # for ever
    keep_for: float | None = None  # seconds; then `gc` may delete the source
    delete_source: bool = False  # at once, whatever the policy says
    max_pause: float | None = None  # seconds; None: the policy's
    method: Method = Method.AUTO
    flatten: bool = False  # one file instead of a chain
    base: Base = Base.COPY
    deadline: float | None = None  # seconds from the start to the cutover; None: the policy's
    allocation: Allocation = Allocation.KEEP
    trim: bool = False  # the guest discards first what it does not use
    overwrite: bool = False  # a volume that is taken may have something in it
    encrypt: Secret | None = None  # a LUKS key; None: that of the source, if it has one
    decrypt: bool = False
    freeze: bool = False  # the guest's file systems are frozen around the cutover
    priority: Priority = Priority.NORMAL  # among the moves that wait for a slot
    wait: bool = True  # for a slot; else the move is refused when none is free
    at: Moment | None = None  # the cutover is not before that
