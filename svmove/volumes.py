"""What is planned for a disk: the volumes that are made, what lies below it, how it is copied."""

from dataclasses import dataclass

from svmove import location
from svmove.location import Secret
from svmove.units import KiB

# The file of the UEFI variables is planned, copied, journalled and redefined as if it were a disk of this target.
# No disk can have it: libvirt takes letters after a bus's prefix (vda, sdb).
NVRAM = "nvram"
# Bytes before the payload of LUKS 1 with a key of 512 bits: QEMU's default, which `svmove.host.encrypted` asks for.
LUKS_HEADER = 2_068_480
# Bytes, where nobody asks for another size.
QCOW2_CLUSTER = 64 * KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A volume to be made in a pool. `cluster_bytes` and below are qcow2's."""

    pool: str
    name: str
    path: str
    format: str
    capacity: int  # what the guest sees; a volume that is taken may be larger
    cluster_bytes: int | None = None
    compat: str | None = None
    extended_l2: bool = False
    lazy_refcounts: bool = False
    backing: str | None = None  # path of the file below it
    backing_format: str | None = None
    overwrite: bool = False  # of one that is taken: it may have something in it
    taken: bool = False  # it was there before the move, which overwrites it, and never deletes it
    full: bool = False  # fully allocated when the guest is switched to it
    luks: Secret | None = None  # the passphrase of its LUKS header; None: it is not encrypted

    @property
    def header(self) -> int:
        """Bytes of the LUKS header that the move writes itself. 0: there is none, or libvirt makes it with its volume,
        which it does of files."""
        return LUKS_HEADER if self.luks is not None and not location.is_file(self.path) else 0

    @property
    def length(self) -> int:
        """What it takes of its storage, where that is no file."""
        return self.capacity + self.header


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A volume that is there already, and is to become a destination."""

    size: int
    blank: bool  # it begins with 1 MiB of zeros: no file system, no partitions, no image
    read_only: bool = False
    thin: bool = False  # its storage tells of holes in it
    used_by: str | None = None  # in words


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
    flattened: bool = False  # of a disk's own file: copied with all that lies below it, as the guest sees it


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
    source_luks: Secret | None = None

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
    def keys(self) -> dict[str, Secret | None]:
        """By path, what opens its two files; None: they are not encrypted."""
        return {self.source: self.source_luks, self.destination.path: self.destination.luks}

    @property
    def shallow(self) -> bool:
        """Its top alone is mirrored: what lies below is, or will be, below the destination as well."""
        return self.lands.backing is not None

    @property
    def flattens(self) -> bool:
        """One file is made of it and of all that lies below it."""
        return bool(self.layers) and self.destination.backing is None

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
        below = sum(layer.copy_bytes for layer in self.layers) if self.flattens else 0
        own = Layer(
            source=self.source,
            source_format=self.source_format,
            pool_from=self.pool_from,
            volume_from=self.volume_from,
            destination=self.destination,
            copy_bytes=min(self.copy_bytes + below, max(self.destination.capacity, self.copy_bytes)),
            delete_source=self.delete_source,
            flattened=self.flattens,
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
    sliced: bool = False  # the destination is larger: only as much of it as the guest sees
    shallow: bool = False  # the top of the chain alone: what lies below the destination is the chain's copy
