"""The medium in a CD-ROM or floppy drive. Raises libvirtError inside `Connection`, HypervisorError outside.

Never by force: a guest that has locked its tray is asked, and libvirt waits for it (9.0: 5 s).
"""

from typing import Any

import libvirt

from svmove.virt import xml
from svmove.virt.connection import Connection


def change(
    connection: Connection, uuid: str, target: str, path: str, format_: str, *, live: bool, config: bool
) -> None:
    def act(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        for wanted, described, flags in (
            (live, 0, libvirt.VIR_DOMAIN_AFFECT_LIVE),
            (config, libvirt.VIR_DOMAIN_XML_INACTIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG),
        ):
            if wanted:
                text = domain.XMLDesc(described | libvirt.VIR_DOMAIN_XML_SECURE)
                domain.updateDeviceFlags(xml.drive_with(text, target, path, format_), flags)

    connection.once(act)
