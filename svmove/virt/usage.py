"""Who uses which file, as libvirt knows it. Raises libvirtError: for use inside `Connection.ask`."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
from lxml import etree

from svmove import location
from svmove.errors import HypervisorError
from svmove.model import InactiveImage
from svmove.virt import xml
from svmove.virt.sources import VolumePath
from svmove.virt.storage import named_path, pool_network, volume_path

_LAYERED = frozenset({"qcow2", "qcow", "qed", "vmdk"})  # the formats whose images can be based on another one


def by_domains(c: Any, besides: str) -> dict[str, str]:
    """Every path that a domain other than `besides` (a UUID) names, live or inactive → who that is."""
    used: dict[str, str] = {}
    for domain in c.listAllDomains():
        if domain.UUIDString() == besides:
            continue
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            with _unless(libvirt.VIR_ERR_NO_DOMAIN):  # gone since it was listed
                described = xml.parse(domain.XMLDesc(flags))
                for path in xml.paths(described, _resolver(c)):
                    used[path] = f"domain {domain.name()}"
    return used


def _resolver(c: Any) -> VolumePath:
    def path_of(pool: str, volume: str) -> str | None:
        path = volume_path(c, pool, volume)
        if path is None:  # a guest that is off may be started when its pool is active again
            with _unless(libvirt.VIR_ERR_NO_STORAGE_POOL):
                path = named_path(c, pool, volume)
        return path

    return path_of


def by_volumes(c: Any, ours: Collection[str], *, certain: bool) -> dict[str, str]:
    """Every path that lies below a volume, but those at the paths `ours` → which volume that is. `certain`: raises
    HypervisorError when a volume can't be read; else nothing is known to lie below it."""
    used: dict[str, str] = {}
    for pool in c.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        if pool_network(xml.parse(pool.XMLDesc(0))) is not None:
            continue  # of images there libvirt knows no backing file, and would open each
        for volume in pool.listAllVolumes():
            described = _described(volume, pool, certain=certain)
            if described is None or described.findtext("target/path") in ours:
                continue
            if below := described.findtext("backingStore/path"):
                used[below] = f"volume {volume.name()} of pool {pool.name()}, which is based on it,"
    return used


def inactive_images(c: Any, besides: str) -> Iterator[InactiveImage]:
    """See `svmove.ports.Hypervisor.inactive_images`."""
    for domain in c.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE):
        if domain.UUIDString() == besides:
            continue
        with _unless(libvirt.VIR_ERR_NO_DOMAIN):
            described = xml.parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
            for disk in xml.disks(described, _resolver(c)):
                if disk.path is not None and disk.format in _LAYERED and not location.is_network(disk.path):
                    yield InactiveImage(path=disk.path, format=disk.format, user=f"domain {domain.name()}")


def _described(volume: Any, pool: Any, *, certain: bool) -> etree._Element | None:
    try:
        with _unless(libvirt.VIR_ERR_NO_STORAGE_VOL):  # deleted since it was listed
            return xml.parse(volume.XMLDesc())
    except libvirt.libvirtError as error:
        if error.get_error_domain() != libvirt.VIR_FROM_STORAGE:  # the connection is gone
            raise
        if certain:
            raise HypervisorError(
                f"volume {volume.name()} of pool {pool.name()} can't be read, so it is not known what it is based on: "
                f"{error.get_error_message()}",
                remedy="mend that volume, or remove it, then try again (of a move: svmove resume)",
            ) from error
    return None


@contextmanager
def _unless(code: int) -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != code:
            raise
