"""Who uses which file, as libvirt knows it. Raises libvirtError: for use inside `Connection.ask`."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import libvirt

from svmove.virt import xml
from svmove.virt.storage import volume_path


def by_domains(c: Any, besides: str) -> dict[str, str]:
    """Every path that a domain other than `besides` (a UUID) names, live or inactive → who that is."""
    used: dict[str, str] = {}
    for domain in c.listAllDomains():
        if domain.UUIDString() == besides:
            continue
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            with suppress(libvirt.libvirtError):  # gone since it was listed, or transient
                described = xml.parse(domain.XMLDesc(flags))
                for path in xml.paths(described, lambda p, v: volume_path(c, p, v)):
                    used[path] = f"domain {domain.name()}"
    return used


def by_volumes(c: Any, ours: Collection[str]) -> dict[str, str]:
    """Every path that lies below a volume, but those at the paths `ours` → which volume that is."""
    used: dict[str, str] = {}
    for pool in c.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        for volume in pool.listAllVolumes():
            with suppress(libvirt.libvirtError):  # deleted since it was listed
                below = xml.parse(volume.XMLDesc()).findtext("backingStore/path")
                if below and volume.path() not in ours:
                    used[below] = f"volume {volume.name()} of pool {pool.name()}, which is based on it,"
    return used
