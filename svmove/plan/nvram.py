"""The file of the UEFI variables: whether it moves with the disks.

QEMU can't move it while the guest runs. So it moves when the guest is off, and all that the guest has goes to one pool:
planned as one more disk (`volumes.NVRAM`), whose bytes are copied and compared as they are, and which the one
definition that names the disks' copies names as well. Whatever stands against that, it stays, and is named.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from svmove.model import Inventory
from svmove.plan.choice import REMOVABLE, Choice, fully_allocated
from svmove.requests import Method, Request
from svmove.volumes import NVRAM, DiskPlan, VolumeSpec

_BY_HAND = "with the guest off, copy the file and change <nvram> in its XML (virsh edit)"
# As of a disk: libvirt makes raw volumes in whole sectors.
_SECTOR = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    plans: tuple[DiskPlan, ...] = ()  # one, or none
    stays: str | None = None  # why; None: it moves, there is none, or it is there already
    remedy: str | None = None


def choose_nvram(
    request: Request, inventory: Inventory, method: Method, choices: Sequence[Choice], media: Sequence[DiskPlan]
) -> Variables:
    """`choices`: all that the request means, also those that are there already."""
    path = inventory.domain.nvram
    if path is None or _is_there(path, request, inventory):
        return Variables()
    if (against := next(_reasons(path, request, inventory, method, choices, media), None)) is not None:
        stays, remedy = against
        return Variables(stays=stays, remedy=remedy)
    return Variables(plans=_plan(path, request, inventory))


def _is_there(path: str, request: Request, inventory: Inventory) -> bool:
    pool = inventory.pool(request.to or "")
    return pool is not None and pool.folder is not None and PurePosixPath(path).parent == PurePosixPath(pool.folder)


def _reasons(
    path: str,
    request: Request,
    inventory: Inventory,
    method: Method,
    choices: Sequence[Choice],
    media: Sequence[DiskPlan],
) -> Iterator[tuple[str, str]]:
    """Why it stays, and what to do about that."""
    domain, name = inventory.domain, PurePosixPath(path).name
    again = f"svmove move {shlex.quote(domain.name)} --to {shlex.quote(request.to or 'POOL')}"
    if method is not Method.OFFLINE:
        yield "QEMU has them open", f"they move when the guest is off, if they are in a pool: {again}"
    meant = {choice.disk.target for choice in choices}
    left = [disk.target for disk in domain.disks if disk.device not in REMOVABLE and disk.target not in meant]
    if request.disks or left:
        yield "they move only with all disks, to one pool", f"move them all: {again}"
    if path not in inventory.volumes:
        yield "that is no volume of a pool", _BY_HAND
    if path not in inventory.images:
        yield "they can't be read", _BY_HAND
    if (other := inventory.used_elsewhere.get(path)) is not None:
        yield f"{other} uses them too", _BY_HAND
    if (pool := inventory.pool(request.to or "")) is not None and pool.folder is None:
        yield f"pool {pool.name} has no folder for a file", _BY_HAND
    made = [spec for one in choices for spec in (one.destination, *(layer.destination for layer in one.layers))]
    new = {spec.name for spec in (*made, *(medium.destination for medium in media)) if spec is not None}
    if name in new | inventory.names.get(request.to or "", frozenset()):
        yield f"pool {request.to} has, or gets, another volume {name!r}", _BY_HAND


def _plan(path: str, request: Request, inventory: Inventory) -> tuple[DiskPlan, ...]:
    """None without a pool to go to, of which the checks of pools tell."""
    pool, image, volume = inventory.pool(request.to or ""), inventory.images[path], inventory.volumes[path]
    if pool is None or pool.folder is None:
        return ()
    name = PurePosixPath(path).name
    return (
        DiskPlan(
            target=NVRAM,
            source=path,
            source_format="raw",  # whatever it is: nobody looks into it
            pool_from=volume.pool,
            volume_from=volume.name,
            destination=VolumeSpec(
                pool=pool.name,
                name=name,
                path=str(PurePosixPath(pool.folder) / name),
                format="raw",
                capacity=-(-image.virtual_bytes // _SECTOR) * _SECTOR,
                full=fully_allocated(image),
            ),
            copy_bytes=min(image.allocated_bytes, image.virtual_bytes),
            bandwidth=None,  # the move's, as long as it is copied
            delete_source=not request.keep_source,
        ),
    )
