"""Which images on the network QEMU has open, by its own word: for files the host sees that in /proc.

The monitor is asked through libvirt, which then marks the domain as tainted ("custom-monitor") in its log; it is one
query, and changes nothing.
"""

import json
from typing import Any

import libvirt
import libvirt_qemu

from svmove.blockdev import image_of
from svmove.virt.connection import Connection

_QUERY = json.dumps({"execute": "query-named-block-nodes", "arguments": {"flat": True}})


def images(connection: Connection, uuid: str) -> frozenset[str]:
    """Their identities (`svmove.location.identity`); none of a domain that is off. Raises HypervisorError."""

    def ask(c: Any) -> str | None:
        domain = c.lookupByUUIDString(uuid)
        if not domain.isActive():
            return None
        try:
            return str(libvirt_qemu.qemuMonitorCommand(domain, _QUERY, 0))
        except libvirt.libvirtError:
            if domain.isActive():
                raise
            return None

    answer = connection.ask(ask)
    nodes = json.loads(answer)["return"] if answer else []
    names = {name for node in nodes for name in (node.get("file"), node.get("image", {}).get("filename")) if name}
    return frozenset(image.identity for name in names if (image := image_of(name)) is not None)
