"""All domains, pools and volumes in few calls: a list of each kind, and one XML each. And all disks' counters in one.

A domain alone would be asked a dozen times (`hypervisor.domain`), and all the others for each of its disks.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import libvirt
from lxml import etree

from svmove import location
from svmove.fleet import Counters, DiskKey
from svmove.model import Domain, DomainState, Pool, Volume
from svmove.survey import Survey
from svmove.virt import metadata, xml
from svmove.virt.connection import Connection
from svmove.virt.sources import get
from svmove.virt.storage import pool_record

_LISTS = {
    DomainState.RUNNING: libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING,
    DomainState.PAUSED: libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED,
    DomainState.OFF: libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF,
    DomainState.OTHER: libvirt.VIR_CONNECT_LIST_DOMAINS_OTHER,
}
_NANO = 1e9


def survey(connection: Connection) -> Survey:
    """As libvirt knows it now; pools are not refreshed. What is undefined or deleted meanwhile is left out.

    Raises UnreachableError, HypervisorError.
    """
    return connection.ask(_survey)


def _survey(c: Any) -> Survey:
    raw = c.listAllStoragePools()
    pools = {pool.name(): pool_record(pool) for pool in raw}
    volumes: list[Volume] = []
    backing: dict[str, str] = {}
    for pool in raw:
        if not pools[pool.name()].active:
            continue
        for volume in pool.listAllVolumes():
            with suppress(libvirt.libvirtError):  # deleted since it was listed
                described = xml.parse(volume.XMLDesc(0))
                record = _volume(pools[pool.name()], described)
                volumes.append(record)
                if below := described.findtext("backingStore/path"):
                    backing[record.path] = below
    paths = {(volume.pool, volume.name): volume.path for volume in volumes}
    transient = {d.UUIDString() for d in c.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)}
    saved = {d.UUIDString() for d in _saved(c)}
    domains = []
    for state, flag in _LISTS.items():
        for domain in c.listAllDomains(flag):
            with suppress(libvirt.libvirtError):  # undefined since it was listed
                domains.append(_domain(domain, state, paths, transient, saved))
    return Survey(
        domains=tuple(sorted(domains, key=lambda domain: domain.name)),
        pools=tuple(sorted(pools.values(), key=lambda pool: pool.name)),
        volumes=tuple(volumes),
        backing=backing,
    )


def _saved(c: Any) -> list[Any]:
    try:
        return list(c.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE))
    except libvirt.libvirtError:  # not every driver has saved states
        return []


def _domain(
    domain: Any, state: DomainState, paths: Mapping[tuple[str, str], str], transient: set[str], saved: set[str]
) -> Domain:
    active = domain.ID() != -1
    described = xml.parse(domain.XMLDesc(0 if active else libvirt.VIR_DOMAIN_XML_INACTIVE))
    disks = xml.disks(described, lambda pool, volume: paths.get((pool, volume)))
    uuid = domain.UUIDString()
    return Domain(
        name=domain.name(),
        uuid=uuid,
        state=state,
        persistent=uuid not in transient,
        live=disks if active else (),
        inactive=() if active else disks,
        live_nvram=xml.nvram(described) if active else None,
        inactive_nvram=None if active else xml.nvram(described),
        managed_save=uuid in saved,
        marker=xml.marker(described),
        tags=metadata.tags(described),
    )


def _volume(pool: Pool, described: etree._Element) -> Volume:
    name = described.findtext("name") or ""
    path = described.findtext("target/path") or described.findtext("key") or ""
    return Volume(
        pool=pool.name,
        name=name,
        # libvirt's own path of a volume on the network does not tell whose it is.
        path=location.child(pool.network, name) if pool.network is not None else path,
        capacity=_bytes(described, "capacity"),
        allocation=_bytes(described, "allocation"),
        format=get(described.find("target/format"), "type"),
    )


def _bytes(described: etree._Element, name: str) -> int:
    """libvirt itself writes no other unit into a volume's XML."""
    return int(described.findtext(name) or 0)


def counters(connection: Connection) -> Mapping[DiskKey, Counters]:
    """Of all disks of all guests that run, by one call; without those whose guest doesn't answer QEMU's monitor now.

    Raises UnreachableError; HypervisorError, also where the driver has no such figures.
    """

    def read(c: Any) -> Mapping[DiskKey, Counters]:
        # What lies below the disks is not listed, unless that is asked for as well.
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        found: dict[DiskKey, Counters] = {}
        for domain, stats in c.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_BLOCK, flags):
            for number in range(int(stats.get("block.count", 0))):
                head = f"block.{number}."
                if f"{head}rd.reqs" in stats:
                    found[domain.UUIDString(), str(stats[f"{head}name"])] = _counters(stats, head)
        return found

    return connection.ask(read)


def _counters(stats: Mapping[str, Any], head: str) -> Counters:
    return Counters(
        reads=int(stats.get(f"{head}rd.reqs", 0)),
        writes=int(stats.get(f"{head}wr.reqs", 0)),
        read_seconds=int(stats.get(f"{head}rd.times", 0)) / _NANO,
        write_seconds=int(stats.get(f"{head}wr.times", 0)) / _NANO,
    )
