"""Where an image lies, as one string: a path, or the URI of an image on the network. Identity, and all that opens it
but the secret's value; so it may be shown, logged and journalled.

    /var/lib/libvirt/images/web.qcow2
    rbd://libvirt@10.0.0.1:6789,10.0.0.2:6789/vms/web?secret-uuid=6f3b...
    iscsi://initiator@10.0.0.5:3260/iqn.2026-11.org.example:san/1?secret-usage=san
    nbd://10.0.0.7:10809/export    nbd+unix:///export?socket=/run/nbd.sock

A volume of a pool lies at `child(the pool's location, the volume's name)`.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit


class Protocol(StrEnum):
    RBD = "rbd"
    ISCSI = "iscsi"
    NBD = "nbd"


# When none is named; of Ceph the old port of its monitors, which librados tries as well.
PORTS = {Protocol.RBD: 6789, Protocol.ISCSI: 3260, Protocol.NBD: 10809}
# libvirt's name of the LUN n of an iscsi-direct pool.
_UNIT = "unit:0:0:"
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    host: str  # a name, or an address; IPv6 without brackets
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Of libvirt's secret store, by one of its two names; never the value."""

    uuid: str | None = None
    usage: str | None = None

    def __str__(self) -> str:
        return self.uuid or self.usage or ""


class SecretState(StrEnum):
    """Of a secret in libvirt's store."""

    READABLE = "readable"
    PRIVATE = "private"  # libvirt hands its value to QEMU, and to nobody else
    MISSING = "missing"
    EMPTY = "empty"  # it has no value


def secret(text: str) -> Secret:
    """By either name, as a person writes it."""
    return Secret(uuid=text.lower()) if _UUID.fullmatch(text.lower()) else Secret(usage=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An image on the network. `name`: pool/image (rbd), target/lun (iscsi), export (nbd)."""

    protocol: Protocol
    name: str
    servers: tuple[Server, ...] = ()
    socket: str | None = None  # nbd alone: of the host's own file system
    user: str | None = None
    secret: Secret | None = None
    initiator: str | None = None  # iscsi alone: the name that we go by

    def __str__(self) -> str:
        scheme = f"{self.protocol}+unix" if self.socket else str(self.protocol)
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        secret = self.secret or Secret()
        words = (
            ("socket", self.socket),
            ("secret-uuid", secret.uuid),
            ("secret-usage", secret.usage),
            ("initiator", self.initiator),
        )
        query = {word: value for word, value in words if value}
        asked = f"?{urlencode(query, safe='/:', quote_via=quote)}" if query else ""
        return f"{scheme}://{user}{','.join(map(str, self.servers))}/{quote(self.name, safe='/:')}{asked}"

    @property
    def identity(self) -> str:
        """Equal for the same image, whoever opens it, and whichever of its servers is named first."""
        port = PORTS[self.protocol]
        servers = sorted((replace(server, port=server.port or port) for server in self.servers), key=str)
        return str(replace(self, user=None, secret=None, initiator=None, servers=tuple(servers)))


def secret_of(location: str) -> Secret | None:
    """What opens an image on the network, where that takes something."""
    return parse(location).secret if is_network(location) else None


def is_uri(location: str) -> bool:
    """Of whatever kind; no path that libvirt has begins otherwise than with a slash."""
    return not location.startswith("/") and "://" in location


def is_network(location: str) -> bool:
    # Asked of each of 10,000 volumes: most are paths, and known by their first character.
    return is_uri(location) and location.partition("://")[0].partition("+")[0] in list(Protocol)


def protocol(location: str) -> Protocol | None:
    return parse(location).protocol if is_network(location) else None


def is_file(location: str) -> bool:
    return not is_network(location) and not is_device(location)


def is_device(location: str) -> bool:
    """Whether it is a block device: libvirt's pools have theirs nowhere else."""
    return location.startswith("/dev/") and not location.startswith("/dev/shm/")  # noqa: S108 (no file is made there)


def parse(location: str) -> Network:
    """Raises ValueError for what is no such URI, with the reason."""
    try:
        parts = urlsplit(location)
    except ValueError:  # whose text may repeat a password
        raise ValueError("no URI") from None
    scheme, _, transport = parts.scheme.partition("+")
    if scheme not in list(Protocol) or transport not in ("", "unix"):
        raise ValueError(f"{parts.scheme or location}: not one of rbd, iscsi, nbd, nbd+unix")
    user, _, hosts = parts.netloc.rpartition("@")
    if ":" in user:
        raise ValueError("a password in a URI is for all to see: put it into a libvirt secret")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = Secret(uuid=query.pop("secret-uuid", None), usage=query.pop("secret-usage", None))
    socket = query.pop("socket", None)
    initiator = query.pop("initiator", None)
    if unknown := sorted(query):
        raise ValueError(f"{', '.join(unknown)}: not known here")
    if bool(transport) != bool(socket):
        raise ValueError("nbd+unix:///EXPORT?socket=PATH names a socket, the others name servers")
    return Network(
        protocol=Protocol(scheme),
        name=unquote(parts.path.removeprefix("/")),
        servers=tuple(_server(host) for host in hosts.split(",") if host),
        socket=socket,
        user=unquote(user) or None,
        secret=secret if secret.uuid or secret.usage else None,
        initiator=initiator,
    )


def _server(text: str) -> Server:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if port and not port.isdigit():
        raise ValueError(f"{text}: no port")
    return Server(host=host, port=int(port) if port else None)


def identity(location: str) -> str:
    """Of an image on the network; a path is its own, as far as strings can tell."""
    return parse(location).identity if is_network(location) else location


def name(location: str) -> str:
    """The last part: what a volume of the same kind would be called elsewhere. Empty where there is none: of a LUN,
    which has a number, and of an export without a name."""
    if not is_network(location):
        return PurePosixPath(location).name
    where = parse(location)
    return "" if where.protocol is Protocol.ISCSI else PurePosixPath(where.name).name


def child(pool: str, volume: str) -> str:
    """Where a pool's volume lies. `pool`: a folder; rbd://.../POOL; iscsi://.../TARGET, whose volumes are its LUNs."""
    if not is_network(pool):
        return str(PurePosixPath(pool) / volume)
    where = parse(pool)
    return str(replace(where, name=f"{where.name}/{volume.removeprefix(_UNIT)}"))


def volume(pool: str, location: str) -> str | None:
    """The name of the volume at `location`, in the pool at `pool`; None: it is not in that pool."""
    if is_network(pool) != is_network(location):
        return None
    if not is_network(pool):
        path = PurePosixPath(location)
        return path.name if path.parent == PurePosixPath(pool) else None
    where, image = parse(pool), parse(location)
    last = image.name.removeprefix(f"{where.name}/")
    if parse(child(pool, last)).identity != image.identity:
        return None
    return _UNIT + last if image.protocol is Protocol.ISCSI else last
