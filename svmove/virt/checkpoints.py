"""Checkpoints: what each covers, and how it forgets a disk whose dirty bitmap is gone."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import libvirt

from svmove.errors import NotFoundError
from svmove.model import Checkpoint
from svmove.virt import xml
from svmove.virt.connection import Connection, unless_unsupported


def records(domain: Any) -> tuple[Checkpoint, ...]:
    """Raises libvirtError: for use inside `Connection.ask`."""
    flags = libvirt.VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN
    found = []
    for point in unless_unsupported(lambda: _listed(domain)):
        with suppress(libvirt.libvirtError):  # deleted since it was listed
            targets = xml.checkpoint_targets(xml.parse(point.getXMLDesc(flags)))
            found.append(Checkpoint(name=point.getName(), targets=targets))
    return tuple(found)


def lost(domain: Any) -> dict[str, tuple[str, ...]]:
    """Raises libvirtError: for use inside `Connection.ask`."""
    if not domain.isActive():
        return {}
    flags = libvirt.VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN | libvirt.VIR_DOMAIN_CHECKPOINT_XML_SIZE
    found = {}
    for point in unless_unsupported(lambda: _listed(domain)):
        with suppress(libvirt.libvirtError):
            described = xml.parse(point.getXMLDesc(flags))
            # libvirt tells a size of each bitmap that QEMU has, and of one that is missing none.
            whole = {disk.get("name") for disk in described.iterfind("disks/disk") if disk.get("size") is not None}
            found[point.getName()] = tuple(t for t in xml.checkpoint_targets(described) if t not in whole)
    return {name: targets for name, targets in found.items() if targets}


def forget(connection: Connection, uuid: str, name: str, targets: Collection[str]) -> None:
    """In the metadata alone: libvirt deletes no checkpoint of which a bitmap is missing, and no bitmap of another disk
    may be touched. One that covers other disks as well goes on to cover those, in one step."""

    def act(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        point = domain.checkpointLookupByName(name)
        described = point.getXMLDesc(libvirt.VIR_DOMAIN_CHECKPOINT_XML_SECURE)
        rest = xml.checkpoint_without(described, targets)
        if rest is None:
            point.delete(libvirt.VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY)
        else:
            domain.checkpointCreateXML(rest, libvirt.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE)

    with suppress(NotFoundError):  # somebody has deleted it
        connection.ask(act)


def _listed(domain: Any) -> Any:
    """The oldest first."""
    return domain.listAllCheckpoints(libvirt.VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL)
