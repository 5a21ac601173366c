"""The values of libvirt's secrets, for what reads images beside QEMU. They are kept nowhere."""

from typing import Any

import libvirt

from svmove.errors import HypervisorError
from svmove.location import Secret, SecretState
from svmove.virt import xml
from svmove.virt.connection import Connection

_USAGES = (
    libvirt.VIR_SECRET_USAGE_TYPE_CEPH,
    libvirt.VIR_SECRET_USAGE_TYPE_ISCSI,
    libvirt.VIR_SECRET_USAGE_TYPE_VOLUME,
    libvirt.VIR_SECRET_USAGE_TYPE_TLS,
)


def value(connection: Connection, secret: Secret) -> bytes:
    """Raises HypervisorError: there is none, it has no value, or it is private, which nobody but libvirt may read."""

    def read(c: Any) -> bytes:
        return bytes(_lookup(c, secret).value(0))

    try:
        return connection.ask(read)
    except HypervisorError as error:
        raise HypervisorError(
            f"the secret {secret.uuid or secret.usage} can't be read: {error.text}",
            remedy="virsh secret-list; virsh secret-set-value; one that is private can't be used for a comparison: "
            "--verify none",
        ) from error


def state(connection: Connection, secret: Secret) -> SecretState:
    """Raises UnreachableError, HypervisorError."""

    def look(c: Any) -> SecretState:
        try:
            found = _lookup(c, secret)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SECRET:
                return SecretState.MISSING
            raise
        if xml.parse(found.XMLDesc(0)).get("private") == "yes":
            return SecretState.PRIVATE
        try:
            found.value(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SECRET:  # also of one that has no value
                return SecretState.EMPTY
            raise
        return SecretState.READABLE

    return connection.ask(look)


def _lookup(c: Any, secret: Secret) -> Any:
    if secret.uuid is not None:
        return c.secretLookupByUUIDString(secret.uuid)
    missing: libvirt.libvirtError | None = None
    for usage in _USAGES:
        try:
            return c.secretLookupByUsage(usage, secret.usage)
        except libvirt.libvirtError as error:
            missing = error
    assert missing is not None
    raise missing
