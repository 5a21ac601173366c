"""What a libvirt daemon can do, and as whom its QEMUs run: from its capabilities."""

import re
from typing import Any

import libvirt
from lxml import etree

from svmove.health import Setup
from svmove.virt import xml
from svmove.virt.connection import Connection

# As libvirt writes the user and group that files are given to: "+64055:+109".
_OWNER = re.compile(r"\+(\d+):\+(\d+)")


def read(connection: Connection) -> Setup:
    capabilities = xml.parse(connection.ask(lambda c: c.getCapabilities()))
    models = capabilities.iterfind("host/secmodel")
    labels = {model.findtext("model", ""): model.findtext("baselabel", "") for model in models}
    owner = _OWNER.fullmatch(labels.get("dac", ""))
    return Setup(
        pool_types=connection.ask(_pool_types),
        confined_by=tuple(name for name in labels if name not in ("dac", "none", "")),
        qemu_user=None if owner is None else (int(owner[1]), int(owner[2])),
        driver=connection.ask(lambda c: str(c.getType())),
        kvm=capabilities.find("guest/arch/domain[@type='kvm']") is not None,
    )


def _pool_types(c: Any) -> frozenset[str] | None:
    try:
        described: etree._Element = xml.parse(c.getStoragePoolCapabilities(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return None
        raise
    return frozenset(pool.get("type", "") for pool in described.iterfind("pool[@supported='yes']"))
