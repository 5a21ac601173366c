"""Images in CD-ROM and floppy drives: which of them move with the guest, and where to.

They are copied out of process and then changed in the drive, so only what nobody can write to meanwhile is moved. The
source is always kept: a CD's image is often in the drives of other guests, also of such as libvirt doesn't know yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from svmove.model import Disk, Image, Inventory, SourceKind
from svmove.moves import Finding, Level
from svmove.plan.case import refuse
from svmove.plan.choice import REMOVABLE
from svmove.requests import DiskRequest, Request
from svmove.volumes import DiskPlan, VolumeSpec

_FORMATS = ("raw", "qcow2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    plans: tuple[DiskPlan, ...] = ()
    there: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def choose_media(request: Request, inventory: Inventory, bandwidth: int | None) -> Media:
    plans, there, findings = [], [], []
    asked = {one.target: one for one in request.disks}
    for disk in inventory.domain.disks:
        if disk.device not in REMOVABLE or (asked and disk.target not in asked):
            continue
        one = asked.get(disk.target) or DiskRequest(target=disk.target)
        image = inventory.images.get(disk.path or "")
        if (why := next(_reasons(disk, image, inventory), None)) is not None:
            findings.append(_stays(disk, why, named=bool(asked)))
        elif image is not None and (plan := _plan(disk, one, image, request.to, inventory, bandwidth)) is not None:
            name = plan.destination.name
            if "/" in name or name in ("", ".", "..") or not name.isprintable():
                text, remedy = f"{name!r} can't be a volume's name", f"give one: --disk {disk.target},name=VOLUME"
                findings.append(refuse("bad-name", f"{disk.target}: {text}", remedy, disk.target))
            elif (plan.pool_from, plan.volume_from) == (plan.destination.pool, name):
                there.append(disk.target)
            else:
                plans.append(plan)
    return Media(plans=tuple(plans), there=tuple(there), findings=tuple(findings))


def _reasons(disk: Disk, image: Image | None, inventory: Inventory) -> Iterator[str]:
    """Why the medium stays where it is."""
    if disk.kind not in (SourceKind.FILE, SourceKind.VOLUME):
        yield "it is not on a file"
    if disk.path is None:
        yield "its drive is empty"
    if disk.tray_open:
        yield "the guest has ejected it"
    if not disk.read_only:
        yield "the guest may write to it, and what it writes while it is copied would be lost"
    if image is None and inventory.can_read_host:
        yield f"qemu-img can't read {disk.path}"
    plain = image is None or not (image.internal_snapshots or image.encrypted or image.data_file)
    if disk.chain or disk.encrypted or not plain or disk.format not in _FORMATS:
        yield "its image is not one plain file"


def _stays(disk: Disk, why: str, *, named: bool) -> Finding:
    if named:
        return refuse(disk.device, f"{disk.target} is a {disk.device}: {why}", "leave it out", disk.target)
    return Finding(level=Level.NOTE, code=disk.device, text=f"{disk.target} stays: {why}", target=disk.target)


def _plan(
    disk: Disk, asked: DiskRequest, image: Image, to: str | None, inventory: Inventory, bandwidth: int | None
) -> DiskPlan | None:
    """None without a pool to go to, of which the checks of pools tell. The format is kept."""
    pool = inventory.pool(asked.pool or to or "")
    if pool is None or pool.folder is None or disk.path is None:
        return None
    volume = inventory.volumes.get(disk.path)
    name = asked.name or PurePosixPath(disk.path).name
    keeps = image.format == "qcow2"
    return DiskPlan(
        target=disk.target,
        source=disk.path,
        source_format=disk.format,
        pool_from=volume.pool if volume else None,
        volume_from=volume.name if volume else None,
        destination=VolumeSpec(
            pool=pool.name,
            name=name,
            path=str(PurePosixPath(pool.folder) / name),
            format=disk.format,
            capacity=image.virtual_bytes,
            cluster_bytes=image.cluster_bytes if keeps else None,
            compat=image.compat if keeps else None,
        ),
        copy_bytes=min(image.allocated_bytes, image.virtual_bytes),
        bandwidth=bandwidth,
        delete_source=False,
    )
