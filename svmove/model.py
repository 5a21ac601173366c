"""What is: the words in which libvirt and the host are described. Facts only, no behaviour but look-ups.

Sizes are bytes. Paths are the host's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from svmove.fleet import FleetDisk
from svmove.location import Secret, SecretState
from svmove.volumes import Taken


class DomainState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    GONE = "gone"  # libvirt does not know it any more: undefined, or transient and ended
    OTHER = "other"  # crashed, shutting down, suspended to RAM: nothing may be started on it


class CopyWay(StrEnum):
    """How a file that nobody writes to was copied."""

    REFLINK = "reflink"  # both files share all extents
    COPY_RANGE = "copy_file_range"
    CONVERT = "qemu-img"
    PLAIN = "plain"  # no longer done: in older journals


class Agent(StrEnum):
    """The guest's own agent, which speaks for what runs inside."""

    ANSWERS = "answers"
    SILENT = "silent"  # the domain has its channel, and nobody answers there
    ABSENT = "absent"  # no channel


class SourceKind(StrEnum):
    FILE = "file"
    BLOCK = "block"
    NETWORK = "network"
    VOLUME = "volume"  # type='volume': `path` is what its pool says
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A <mirror> element: a block copy (or active commit) that QEMU has on this disk."""

    job: str  # "copy", "active-commit"
    path: str | None
    ready: bool
    ending: bool = False  # libvirt was asked to pivot or to cancel it, and has not seen the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One <disk> of a domain's XML."""

    target: str  # "vda"
    device: str  # disk, cdrom, floppy, lun
    kind: SourceKind
    path: str | None  # or the URI of an image on the network (`svmove.location`); None: an empty drive
    format: str
    chain: tuple[str, ...] = ()  # files below the top, nearest first; only the live XML knows them
    chain_formats: tuple[str, ...] = ()
    mirror: Mirror | None = None
    serial: str | None = None
    bus: str | None = None
    read_only: bool = False
    shareable: bool = False
    transient: bool = False
    encrypted: bool = False  # by what `luks` does not tell of
    luks: Secret | None = None  # the passphrase of its LUKS header
    iothread: bool = False  # its requests are handled by a thread of their own, or its controller's are
    pool: str | None = None  # of a type='volume' source
    volume: str | None = None
    discard: str | None = None  # "unmap": what the guest discards is freed below; QEMU's default is to ignore it
    detect_zeroes: str | None = None  # "unmap": zeroes that are written become holes, if discards do
    slice_bytes: int | None = None  # only so much of it counts (<slice>), a LUKS header included
    throttled: bool = False  # it has limits of its own (<iotune>)
    tray_open: bool = False  # of a drive whose medium the guest has ejected
    direct: bool = False  # QEMU opens it past the page cache (cache none or directsync)
    flushed: bool = True  # no: QEMU heeds no flush (cache unsafe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A point in time that an incremental backup can start from: a dirty bitmap in each of its disks."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDisk:
    """What a domain's marker says of a disk that is being moved: enough to find both copies without a journal."""

    target: str
    source: str
    source_format: str
    destination: str
    destination_format: str
    pool: str
    volume: str
    overlay: str = ""  # at the source, and its copy; of method snapshot
    overlay_destination: str = ""
    source_luks: str = ""  # the names of the secrets (`svmove.location.secret`) that open them
    destination_luks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    name: str
    uuid: str
    state: DomainState
    persistent: bool
    live: tuple[Disk, ...]  # empty when the domain is off
    inactive: tuple[Disk, ...]  # empty when it is transient
    snapshots: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    live_nvram: str | None = None  # the file of its UEFI variables; `tpm`: the folder of its emulated TPM
    inactive_nvram: str | None = None
    tpm: str | None = None
    io_error: bool = False  # QEMU paused it because a write failed
    managed_save: bool = False  # the next start goes on from a saved state, which names the disks by itself
    job: str = ""  # "backup" while a backup job runs on the domain, "" for none
    marker: str | None = None  # the id of the move that says it owns the domain
    marked: tuple[MarkedDisk, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()  # of its <metadata>: the path of an element or attribute, and its text

    @property
    def disks(self) -> tuple[Disk, ...]:
        """As it runs, or as it will when it is off."""
        return self.live or self.inactive

    @property
    def nvram(self) -> str | None:
        """Likewise, the file of the UEFI variables."""
        return self.live_nvram if self.live else self.inactive_nvram

    def disk(self, target: str) -> Disk | None:
        return next((disk for disk in self.live if disk.target == target), None)

    def inactive_disk(self, target: str) -> Disk | None:
        return next((disk for disk in self.inactive if disk.target == target), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    name: str
    type: str  # dir, fs, netfs, logical, rbd, ...
    active: bool
    path: str | None
    capacity: int = 0
    allocation: int = 0
    available: int = 0
    network: str | None = None  # its URI
    autostart: bool = True

    @property
    def location(self) -> str | None:
        """Where its volumes lie (`svmove.location.child`). None: that is not known of its type."""
        return self.network or self.path

    @property
    def folder(self) -> str | None:
        """Of a pool whose volumes are files."""
        return self.path if self.type in ("dir", "fs", "netfs") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    pool: str
    name: str
    path: str  # or URI
    capacity: int
    allocation: int
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image file says of itself (qemu-img info)."""

    format: str
    virtual_bytes: int
    allocated_bytes: int
    cluster_bytes: int | None = None
    compat: str | None = None
    extended_l2: bool = False
    lazy_refcounts: bool = False
    data_file: str | None = None
    encrypted: bool = False
    payload_offset: int = 0  # of raw LUKS: its header's bytes, which the guest does not see
    internal_snapshots: tuple[str, ...] = ()
    bitmaps: tuple[str, ...] = ()  # that lie in it; those of a running guest are written when it ends

    def seen_bytes(self, disk: Disk) -> int:
        """What the guest sees of it; a LUKS header is in the disk's slice, too."""
        return disk.slice_bytes - self.payload_offset if disk.slice_bytes else self.virtual_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A block job's progress. ``end <= 1`` carries no information (libvirt's placeholders)."""

    kind: str  # "copy", "pull", "commit", "active-commit", "backup"
    done: int
    end: int

    @property
    def remaining(self) -> int | None:
        return None if self.end <= 1 else self.end - self.done


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The QEMU process of a domain."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """As libvirt counts them: 9_000_000 is 9.0.0. Of the REMOTE daemon and its QEMU."""

    libvirt: int
    qemu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRate:
    """What a guest writes to a disk, per second."""

    requests: float
    bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A disk's I/O limits that are in force, by libvirt's names ("write_iops_sec"); none is 0."""

    limits: Mapping[str, int]
    group: str = ""  # the disks of one group share its limits; "": this disk's alone


@dataclass(frozen=True, slots=True, kw_only=True)
class InactiveImage:
    """Of a guest that is off: what the image is based on it says itself, in its header."""

    path: str
    format: str
    user: str  # in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All that a plan is made from, gathered at one moment."""

    domain: Domain
    pools: tuple[Pool, ...]
    volumes: Mapping[str, Volume] = field(default_factory=dict)  # by path: what libvirt knows there
    images: Mapping[str, Image] = field(default_factory=dict)  # by path: what the image says of itself
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)  # of all volumes, in each pool of interest
    used_elsewhere: Mapping[str, str] = field(default_factory=dict)  # our disks' paths that others name too → who
    past_rates: Mapping[tuple[str, str], float] = field(default_factory=dict)  # by (pool, pool): bytes per second
    versions: Versions = Versions(libvirt=0, qemu=0)
    scratch_free: int = 0
    jobs: Mapping[str, str] = field(default_factory=dict)  # targets that a block job, not ours, holds
    can_read_host: bool = True
    unheld: frozenset[str] = frozenset()  # targets of which QEMU has another file open than is at their path now
    shut: frozenset[str] = frozenset()  # pools, and the folder for scratch files, that QEMU can't enter
    writes: Mapping[str, WriteRate] = field(default_factory=dict)  # by target, what the guest writes now, if it runs
    emptied: frozenset[str] = frozenset()  # pools that `svmove evacuate` empties, or keeps empty
    offloads: Mapping[str, CopyWay] = field(default_factory=dict)  # by target; TARGET:1: the file below it, and so on
    filesystems: Mapping[str, str] = field(default_factory=dict)  # by pool; several may share one
    buffered: frozenset[str] = frozenset()  # pools whose file system knows no O_DIRECT
    full: frozenset[str] = frozenset()  # targets whose storage takes no more writes, and lets them wait
    shared: Mapping[str, int] = field(default_factory=dict)  # by target: bytes of its file that other files have too
    taken: Mapping[str, Taken] = field(default_factory=dict)  # by location, of those that are there
    troubles: Mapping[str, str] = field(default_factory=dict)  # by pool, by location: why it can't be looked into
    agent: Agent | None = None  # None: nobody has asked, since nothing needs it
    secrets: Mapping[Secret, SecretState] = field(default_factory=dict)  # of the disks, the pools and the request
    locked: Mapping[str, str] = field(default_factory=dict)  # by path: why the disk's secret does not open it
    promised: Mapping[str, int] = field(default_factory=dict)  # by pool: capacity of all volumes, if limited
    fleet: tuple[FleetDisk, ...] = ()  # all disks of all guests, if a rule of the policy concerns this one

    def pool(self, name: str) -> Pool | None:
        return next((pool for pool in self.pools if pool.name == name), None)
