"""Which disks a request means, where each goes and as what: before anything is judged."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from svmove import location
from svmove.location import Secret
from svmove.model import Disk, Image, Inventory, Pool, SourceKind, Volume
from svmove.moves import Finding, Level
from svmove.plan import places
from svmove.plan.layers import layers, on
from svmove.requests import Allocation, DiskRequest, Format, Request
from svmove.volumes import Layer, VolumeSpec

# QEMU counts in sectors, and rounds a raw file's odd tail up.
_SECTOR = 512
# Drives whose medium can be changed; plan/media.py has what becomes of it.
REMOVABLE = ("cdrom", "floppy")
_SUFFIX = {"raw": ".img", "qcow2": ".qcow2"}
_SUFFIXES = {".raw": "raw", ".img": "raw", ".qcow2": "qcow2", ".qcow": "qcow2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One disk with all that is known of it. What is None could not be found out, which admission judges."""

    disk: Disk
    asked: DiskRequest
    named: bool  # by --disk, not by default
    image: Image | None
    volume: Volume | None
    pool_name: str | None
    pool: Pool | None
    destination: VolumeSpec | None
    layers: tuple[Layer, ...] = ()

    @property
    def on_file(self) -> bool:
        path = self.disk.path
        return path is not None and location.is_file(path) and self.disk.kind in (SourceKind.FILE, SourceKind.VOLUME)

    @property
    def as_it_is(self) -> bool:
        """Whether a copy out of process is the file, byte for byte, with all that its format keeps in it; else it is of
        what the guest sees."""
        disk, spec = self.disk, self.destination
        if spec is None or not self.on_file or not location.is_file(spec.path) or disk.slice_bytes is not None:
            return False
        flattened = bool(self.layers) and spec.backing is None
        return (spec.format, spec.luks) == (disk.format, disk.luks) and not flattened

    @property
    def there(self) -> bool:
        """Nothing to do: the pool is the one it is in, and format and name are as asked."""
        return (
            self.volume is not None
            and self.volume.pool == self.pool_name
            and (self.destination is None or self.destination.format == self.disk.format)
            and (self.destination is None or self.destination.luks == self.disk.luks)
            and (self.asked.name is None or self.asked.name == self.volume.name)
            and not self._grows
        )

    @property
    def _grows(self) -> bool:
        """It is to be fully allocated, and is not. The other way nothing tells how thin it could be."""
        wanted = self.destination is not None and self.destination.full
        return wanted and self.image is not None and not fully_allocated(self.image)


def choose(request: Request, inventory: Inventory) -> tuple[tuple[Choice, ...], tuple[Finding, ...]]:
    """The disks of the request, and what is to be said about those that are left out or don't exist."""
    disks = [disk for disk in inventory.domain.disks if disk.device not in REMOVABLE]
    if not request.disks:
        asked = [DiskRequest(target=disk.target) for disk in disks]
        choices = [_choice(one, request, inventory, named=False) for one in asked]
        left_out = {c.disk.target: why for c in choices if (why := _immovable(c.disk)) is not None}
        findings = tuple(
            Finding(level=level, code=code, text=f"{target} stays: {text}", target=target)
            for target, (level, code, text) in left_out.items()
        )
        return tuple(c for c in choices if c.disk.target not in left_out), findings
    known = {disk.target for disk in disks}
    return tuple(_choice(one, request, inventory, named=True) for one in request.disks if one.target in known), ()


def _immovable(disk: Disk) -> tuple[Level, str, str] | None:
    """Why a disk that nobody named is left where it is."""
    if disk.transient:
        return Level.WARN, "transient-disk", "it is <transient/>, its writes are thrown away at the end"
    if disk.shareable:
        return Level.WARN, "shareable", "it is shareable, another guest may write to it"
    return None


def _choice(asked: DiskRequest, request: Request, inventory: Inventory, *, named: bool) -> Choice:
    disk = next(disk for disk in inventory.domain.disks if disk.target == asked.target)
    image = inventory.images.get(disk.path) if disk.path else None
    volume = inventory.volumes.get(disk.path) if disk.path else None
    pool_name = asked.pool or request.to
    pool = places.destination(pool_name, inventory)
    destination = None
    below = layers(disk, request, inventory, pool)
    if pool is not None and pool.location is not None and image is not None:
        destination = on(_destination(asked, request, disk, image, pool, inventory), below, flatten=request.flatten)
    return Choice(
        disk=disk,
        asked=asked,
        named=named,
        image=image,
        volume=volume,
        pool_name=pool_name,
        pool=pool,
        destination=destination,
        layers=below,
    )


def _destination(
    asked: DiskRequest, request: Request, disk: Disk, image: Image, pool: Pool, inventory: Inventory
) -> VolumeSpec:
    wanted = asked.format or request.format
    kind = places.kind(pool) or places.KINDS["dir"]  # of an unknown one the checks of pools tell
    # What is no file can carry a qcow2, and has no use for one.
    format_ = (disk.format if kind.files else "raw") if wanted is Format.KEEP else wanted.value
    name = asked.name or _name(disk, inventory.domain.name, format_, file=kind.files)
    key = _key(asked, request, disk)
    taken = not kind.makes or (kind.takes and _location(pool, name) in {*inventory.taken, *inventory.troubles})
    # The source's options are kept; a raw source has none, and QEMU's defaults are right for it.
    keeps = format_ == "qcow2" and image.format == "qcow2"
    return VolumeSpec(
        pool=pool.name,
        name=name,
        path=_location(pool, name),
        format=format_,
        capacity=-(-image.seen_bytes(disk) // _SECTOR) * _SECTOR,
        taken=taken,
        overwrite=taken and request.overwrite,
        cluster_bytes=image.cluster_bytes if keeps else None,
        # libvirt's own default is compat 0.10, which has neither zero clusters nor lazy refcounts.
        compat=(image.compat if keeps else "1.1") if format_ == "qcow2" else None,
        extended_l2=keeps and image.extended_l2,
        lazy_refcounts=keeps and image.lazy_refcounts,
        # Encrypted, all of it is written.
        full=kind.files and key is None and _full(request.allocation, image),
        luks=key,
    )


def _key(asked: DiskRequest, request: Request, disk: Disk) -> Secret | None:
    if asked.decrypt or (request.decrypt and asked.encrypt is None):
        return None
    return asked.encrypt or request.encrypt or disk.luks


def _location(pool: Pool, name: str) -> str:
    """An image that stands for a pool is the volume itself."""
    whole = pool.location or ""
    return whole if location.is_network(pool.name) else location.child(whole, name)


def _full(wanted: Allocation, image: Image) -> bool:
    return fully_allocated(image) if wanted is Allocation.KEEP else wanted is Allocation.FULL


def fully_allocated(image: Image) -> bool:
    return 0 < image.virtual_bytes <= image.allocated_bytes


def _name(disk: Disk, domain: str, format_: str, *, file: bool) -> str:
    """The source's, where it has one; a suffix that names the other format is changed to what it becomes."""
    name = location.name(disk.path or "")
    if not name:
        return f"{domain}-{disk.target}" + (_SUFFIX.get(format_, "") if file else "")
    path = PurePosixPath(name)
    if _SUFFIXES.get(path.suffix, format_) == format_:
        return name
    return path.stem + ("." + format_)
