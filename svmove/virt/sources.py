"""<source>, with the type of the element that has it: read as a location, and written from one.

What libvirt has there: docs/formatdomain.rst, "Hard drives, floppy disks, CDROMs".
"""

from collections.abc import Callable
from typing import Any

from lxml import etree
from lxml.builder import E

from svmove import location
from svmove.errors import HypervisorError
from svmove.location import Network, Protocol, Secret, Server
from svmove.model import SourceKind

VolumePath = Callable[[str, str], str | None]

# What libvirt calls the secrets of a protocol.
_SECRETS = {Protocol.RBD: "ceph", Protocol.ISCSI: "iscsi"}


def read(element: etree._Element, volume_path: VolumePath) -> tuple[SourceKind, str | None]:
    """The kind and location of whatever carries a type and a <source>: <disk>, <backingStore>, <mirror>.

    `volume_path(pool, volume)` resolves those of type='volume'.
    """
    source = element.find("source")
    match element.get("type"):
        case "file":
            return SourceKind.FILE, get(source, "file")
        case "block":
            return SourceKind.BLOCK, get(source, "dev")
        case "network":
            return SourceKind.NETWORK, None if source is None else _network(source)
        case "volume" if source is not None:
            return SourceKind.VOLUME, volume_path(source.get("pool", ""), source.get("volume", ""))
        case _:
            return SourceKind.OTHER, None


def write(path: str, luks: Secret | None = None, size: int | None = None) -> tuple[str, etree._Element]:
    """The type and the <source> for a location; `luks` opens an image that is encrypted. `size`: bytes from its start,
    which alone count: what the guest sees, and before it the LUKS header."""
    if location.is_network(path):
        kind, source = "network", _element(location.parse(path))
    elif location.is_device(path):
        kind, source = "block", E.source(dev=xmlable(path))
    else:
        kind, source = "file", E.source(file=xmlable(path))
    if luks is not None:
        source.append(encryption(luks))
    if size is not None:
        source.append(E.slices(E.slice(type="storage", offset="0", size=str(size))))
    return kind, source


def encryption(luks: Secret) -> etree._Element:
    return E.encryption(E.secret(type="passphrase", **_named(luks)), format="luks")


def luks(element: etree._Element) -> Secret | None:
    """The passphrase of a disk that QEMU itself decrypts by LUKS with this one secret; None for anything else.

    <encryption> is in the <source>, or, as older tools have it, in the <disk>."""
    found = element.find("source/encryption")
    found = element.find("encryption") if found is None else found
    if found is None or found.get("format") != "luks" or found.get("engine", "qemu") != "qemu":
        return None
    secrets = found.findall("secret")
    if len(secrets) != 1 or secrets[0].get("type") != "passphrase":
        return None
    secret = Secret(uuid=secrets[0].get("uuid"), usage=secrets[0].get("usage"))
    return secret if str(secret) else None


def _network(source: etree._Element) -> str | None:
    protocol = source.get("protocol", "")
    if protocol not in list(Protocol):
        return None
    hosts, socket = [], None
    for host in source.iterfind("host"):
        if host.get("transport") == "unix":
            socket = host.get("socket")
        else:
            port = host.get("port")
            hosts.append(Server(host=host.get("name", ""), port=int(port) if port else None))
    user, secret = auth(source)
    name = source.get("name", "")
    if protocol == Protocol.ISCSI and "/" not in name:
        name += "/0"  # the LUN, when it is left out
    image = Network(
        protocol=Protocol(protocol),
        name=name,
        servers=tuple(hosts),
        socket=socket,
        user=user,
        secret=secret,
        initiator=get(source.find("initiator/iqn"), "name"),
    )
    return str(image)


def auth(element: etree._Element) -> tuple[str | None, Secret | None]:
    """The user, and how libvirt's store knows the secret, of a disk's or a pool's source."""
    found = element.find("auth")
    secret = None if found is None else found.find("secret")
    named = None if secret is None else Secret(uuid=secret.get("uuid"), usage=secret.get("usage"))
    return get(found, "username"), named


def _element(image: Network) -> etree._Element:
    source = E.source(protocol=str(image.protocol), name=xmlable(image.name))
    for server in image.servers:
        port = {} if server.port is None else {"port": str(server.port)}
        source.append(E.host(name=xmlable(server.host), **port))
    if image.socket is not None:
        source.append(E.host(transport="unix", socket=xmlable(image.socket)))
    if image.initiator is not None:
        source.append(E.initiator(E.iqn(name=xmlable(image.initiator))))
    if image.user is not None and image.secret is not None:
        secret = E.secret(type=_SECRETS[image.protocol], **_named(image.secret))
        source.append(E.auth(secret, username=xmlable(image.user)))
    return source


def _named(secret: Secret) -> dict[str, Any]:
    return {"uuid": secret.uuid} if secret.uuid else {"usage": xmlable(secret.usage or "")}


def get(element: etree._Element | None, name: str) -> str | None:
    return None if element is None else element.get(name)


def xmlable(text: str) -> str:
    """Raises HypervisorError for what no XML can carry."""
    try:
        E.probe(text)
    except ValueError as error:
        raise HypervisorError(
            f"a name that XML can't carry: {text!r}", remedy="rename it without control characters"
        ) from error
    return text
