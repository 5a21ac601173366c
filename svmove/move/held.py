"""What the guest's QEMU process has open, and where its user gets to, as the inventory needs it."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from svmove import location
from svmove.model import Disk, Pool, Process
from svmove.ports_host import Host


def elsewhere(disks: Sequence[Disk], process: Process | None, host: Host) -> frozenset[str]:
    """Targets at whose path there is another file than QEMU writes to, or none: somebody has replaced or removed it."""
    if process is None:
        return frozenset()
    on_host = [d for d in disks if d.device == "disk" and d.path is not None and not location.is_network(d.path)]
    return frozenset(disk.target for disk in on_host if disk.path and not host.holds(process, disk.path))


def nearest(host: Host, path: str) -> str:
    """The folder, or the nearest above it that is there: the rest is made when it is needed, and QEMU let through."""
    found = (one for one in (path, *map(str, PurePosixPath(path).parents)) if host.identity(one) is not None)
    return next(found, "/")


def shut(
    pools: Sequence[Pool], wanted: Collection[str | None], scratch: str, process: Process | None, host: Host
) -> frozenset[str]:
    """Pools that something is to go to, whose folder QEMU's user can't get into; and the folder above the scratch files
    (by its path), if it is one of those."""
    if process is None:
        return frozenset()
    folders = {pool.name: pool.folder for pool in pools if pool.active and pool.name in wanted}
    above = nearest(host, scratch)
    folders[above] = above
    return frozenset(
        name
        for name, folder in folders.items()
        if folder and host.may_use(folder, process.uid, process.gid, "x") is False
    )
