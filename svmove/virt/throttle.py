"""A disk's I/O limits while its guest runs. The XML of the next start is not touched."""

from typing import Any

import libvirt

from svmove.model import Tuning
from svmove.virt.connection import Connection

_GROUP = "group_name"


def read(connection: Connection, uuid: str, target: str) -> Tuning:
    found = connection.ask(lambda c: _parameters(c.lookupByUUIDString(uuid), target))
    limits = {name: int(value) for name, value in found.items() if name != _GROUP and value}
    # A group of one is named by QEMU's own name of the disk, while there is any limit.
    group = str(found.get(_GROUP) or "")
    return Tuning(limits=limits, group="" if group.startswith("/machine/") else group)


def write(connection: Connection, uuid: str, target: str, tuning: Tuning) -> None:
    def set_all(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        # What is left out stays as it is; so the group is left out, and each limit of this libvirt is named.
        lifted = dict.fromkeys(_parameters(domain, target), 0)
        lifted.pop(_GROUP, None)
        domain.setBlockIoTune(target, lifted | dict(tuning.limits), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    connection.ask(set_all)


def _parameters(domain: Any, target: str) -> dict[str, Any]:
    found: dict[str, Any] = domain.blockIoTune(target, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return found
