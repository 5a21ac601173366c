"""What `svmove doctor` looks at, and what it says of that: facts and lines. Sizes are bytes, times seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from svmove.location import SecretState
from svmove.model import Pool, Versions
from svmove.policy import Policy


class Mark(StrEnum):
    """From the best to the worst."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"  # it keeps moves from running


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    mark: Mark
    subject: str  # "libvirt", "pool fast"
    code: str  # docs/doctor.md
    seen: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why something could not be looked at."""

    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a libvirt daemon says of itself."""

    pool_types: frozenset[str] | None = None  # of its storage backends; None: it can't tell
    confined_by: tuple[str, ...] = ()  # "apparmor", "selinux"
    qemu_user: tuple[int, int] | None = None  # uid and gid that its QEMUs run with
    kvm: bool = False  # it believes in it
    driver: str = "QEMU"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibvirtFacts:
    uri: str  # without secrets
    unreachable: Trouble | None = None
    versions: Versions = field(default_factory=lambda: Versions(libvirt=0, qemu=0))  # not known
    setup: Setup = field(default_factory=Setup)
    guests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    missing: tuple[str, ...] = ()  # commands
    looks_into_qemu: bool = True
    scratch: str = ""
    scratch_free: int = 0
    scratch_open: bool | None = None  # whether QEMU's user gets there; None: not known
    scratch_kind: str | None = None  # its file system
    kvm_node: bool = False
    kvm_open: bool | None = None  # whether QEMU's user may use it
    trouble: Trouble | None = None  # with it the rest is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    pool: Pool
    kind: str | None = None  # of the file system of its folder
    direct: bool | None = None
    reflink: bool | None = None
    open: bool | None = None  # QEMU's user can enter its folder
    there: bool = True  # its folder, if it has one
    silent: str | None = None  # why its storage can't be read from
    secrets: Mapping[str, SecretState] = field(default_factory=dict)  # by name


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFacts:
    name: str
    trouble: Trouble | None = None
    on_server: bool = False
    kind: str | None = None  # of the file system that its file is on
    free: int | None = None
    newest: float | None = None  # Unix time of the newest move


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFacts:
    left: tuple[str, ...] = ()  # ids
    held: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # only a guest's marker tells of it
    removable: int = 0  # of what ended moves left behind
    kept: int = 0
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    now: float  # Unix time
    libvirt: LibvirtFacts
    host: HostFacts | None = None  # None: there was no way to it
    policy: Policy = field(default_factory=Policy)
    policy_files: tuple[str, ...] = ()
    policy_trouble: Trouble | None = None
    zones: bool = True  # time zones are known by name
    journal: JournalFacts
    pools: tuple[PoolFacts, ...] = ()
    pool_names: frozenset[str] = frozenset()  # of all, also where only some are looked at
    asked: frozenset[str] = frozenset()  # those that were named
    moves: MoveFacts | None = None
