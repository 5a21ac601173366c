"""A disk as it is at one instant, for a reader: a pull-mode backup behind an NBD socket."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import libvirt

from svmove.virt import documents, xml
from svmove.virt.connection import Connection


def begin(connection: Connection, uuid: str, scratch: Mapping[str, str], socket: str) -> None:
    def ask(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        # The scratch files exist: formatting them here would lengthen the guest's pause.
        domain.backupBegin(documents.backup(scratch, socket), None, libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)

    connection.once(ask)


def end(connection: Connection, uuid: str, socket: str) -> None:
    def ended(c: Any) -> bool:
        domain = c.lookupByUUIDString(uuid)
        if not domain.isActive() or _socket(domain) != socket:
            return True
        with suppress(libvirt.libvirtError):  # "no job is active": it is ending already
            domain.abortJob()
        return False

    connection.until(ended, f"the export at {socket} does not end")


def is_there(connection: Connection, uuid: str, socket: str) -> bool:
    return connection.ask(lambda c: _socket(c.lookupByUUIDString(uuid)) == socket)


def described(domain: Any) -> str:
    """The XML of the domain's backup job; "" for none. Raises libvirtError."""
    try:
        return str(domain.backupGetXMLDesc())
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_NO_SUPPORT):
            return ""
        raise


def _socket(domain: Any) -> str | None:
    found = described(domain)
    return xml.backup_socket(found) if found else None
