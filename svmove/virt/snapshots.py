"""libvirt's snapshot metadata: which file each external snapshot left behind, and which it made."""

from collections.abc import Mapping
from typing import Any

import libvirt

from svmove.virt import xml
from svmove.virt.connection import Connection


def redirect(connection: Connection, uuid: str, moved: Mapping[str, str]) -> None:
    """Idempotent: what names the new paths already is left as it is."""

    def write(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        # Parents first, as they are listed: a child is redefined below one that is there.
        for snapshot in domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL):
            described = snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE)
            text = xml.redirected(described, moved)
            if text is None:
                continue
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            if snapshot.isCurrent():
                flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
            domain.snapshotCreateXML(text, flags)

    connection.ask(write)
