"""Destinations that are there already, in pools whose volumes are not made for a move."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from svmove import location
from svmove.errors import HostError, HypervisorError
from svmove.model import Disk, Pool
from svmove.move.observe import same
from svmove.move.usage import in_use
from svmove.plan import places
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.requests import Request
from svmove.volumes import Taken


def to_take(
    request: Request, disks: Sequence[Disk], pools: Sequence[Pool], names: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """The locations in pools whose volumes are not made for a move, or need not be. What libvirt does not list is not
    there, except where it does not list all."""
    asked, known = {disk.target: disk for disk in request.disks}, {pool.name: pool for pool in pools}
    for disk in disks:
        one = asked.get(disk.target)
        name = (one.pool if one else None) or request.to or ""
        pool = places.image_by_uri(name) or known.get(name)
        if pool is None or pool.location is None or not pool.active:
            continue
        volume = one.name if one else None
        if (kind := places.kind(pool)) is None or (kind.makes and not kind.takes):
            continue
        if location.is_network(name):
            yield pool.location
        elif volume is not None and (kind.takes or volume in names.get(name, ())):
            yield location.child(pool.location, volume)


def look(
    paths: Iterable[str],
    uuid: str,
    disks: Sequence[Disk],
    hypervisor: Hypervisor,
    host: Host,
    troubles: dict[str, str],
) -> dict[str, Taken]:
    """What lies at those locations. `troubles` gets why one can't be opened."""
    found = dict[str, Taken]()
    for path in paths:
        try:
            there = host.taken(path)
        except (HostError, HypervisorError) as error:  # the latter: its secret
            troubles[path] = error.text
            continue
        if there is not None:
            found[path] = there
    if found:
        own = {same(disk.path, host): f"disk {disk.target} of the guest" for disk in disks if disk.path}
        used = own | in_use(hypervisor, host, besides=uuid)
        found = {path: replace(t, used_by=used.get(same(path, host))) for path, t in found.items()}
    return found
