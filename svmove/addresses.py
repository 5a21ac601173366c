"""libvirt's URI of a daemon on another host, read as libvirt reads it (https://libvirt.org/uri.html).

Of its parameters: keyfile, known_hosts, known_hosts_verify, no_verify, socket, sshauth=agent,privkey. What libvirt uses
to reach the daemon's socket (netcat, proxy, command) is not needed, and is passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from svmove.errors import UsageError
from svmove.redact import redact

_SSH = frozenset({"ssh", "libssh", "libssh2"})
_LOCAL = (None, "", "localhost")
# libvirtd itself; virtproxyd, where its daemons are modular.
_SOCKET = "/var/run/libvirt/libvirt-sock"
_PASSED_OVER = frozenset({"netcat", "proxy", "command", "mode", "name", "no_tty", "pkipath"})
_LOGIN = ("agent", "privkey")


class HostKeys(StrEnum):
    """What is done about a host key that is not known; one that has changed is refused, unless `IGNORE`."""

    REFUSE = "normal"
    ADD = "auto"  # to the file of the known hosts
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    host: str  # as in the URI: ssh's configuration may know another name
    user: str | None = None
    port: int | None = None
    keyfile: str | None = None
    known_hosts: str | None = None
    host_keys: HostKeys | None = None  # None: as ssh's configuration says
    login: tuple[str, ...] = _LOGIN
    path: str = "/system"  # of libvirt's driver
    driver: str = "qemu"
    socket: str | None = None

    @property
    def libvirt_socket(self) -> str:
        """On that host."""
        return self.socket or _SOCKET

    @property
    def local_uri(self) -> str:
        """What the daemon is called on that host."""
        if self.socket is None:
            return f"{self.driver}://{self.path}"
        return f"{self.driver}+unix://{self.path}?socket={self.socket}"


def is_remote(uri: str) -> bool:
    try:
        return urlsplit(uri).hostname not in _LOCAL or "+ssh" in urlsplit(uri).scheme
    except ValueError:
        return False


def parse(uri: str) -> Target:
    """Raises UsageError."""
    shown = redact(uri)
    try:
        parts = urlsplit(uri)
        driver, _, transport = parts.scheme.partition("+")
        host, port, query = parts.hostname, parts.port, dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise UsageError(f"{shown}: {error}") from error
    if transport not in _SSH or not host:
        raise UsageError(
            f"{shown}: libvirt on another host is reached by SSH",
            remedy=f"write {driver}+ssh://{host or 'HOST'}/system",
        )
    if parts.password is not None or "password" in query:
        raise UsageError(
            f"{shown}: a password in a URI is for everybody to read", remedy="log in with a key, or ssh-agent"
        )
    if parts.path != "/system":
        raise UsageError(f"{shown}: guests of /system are moved", remedy=f"write {driver}+ssh://{host}/system")
    if unknown := sorted(set(query) - _PASSED_OVER - _KNOWN):
        raise UsageError(f"{shown}: unknown parameter {unknown[0]}", remedy=f"known are {', '.join(sorted(_KNOWN))}")
    login = tuple(word for word in query.get("sshauth", ",".join(_LOGIN)).split(",") if word in _LOGIN)
    if not login:
        raise UsageError(f"{shown}: sshauth={query['sshauth']}", remedy="log in with agent or privkey")
    return Target(
        host=host,
        user=unquote(parts.username) if parts.username else None,
        port=port,
        keyfile=query.get("keyfile"),
        known_hosts=query.get("known_hosts"),
        host_keys=_host_keys(query, shown),
        login=login,
        path=parts.path,
        driver=driver,
        socket=query.get("socket"),
    )


_KNOWN = frozenset({"keyfile", "known_hosts", "known_hosts_verify", "no_verify", "socket", "sshauth"})


def _host_keys(query: Mapping[str, str], shown: str) -> HostKeys | None:
    if query.get("no_verify", "0") not in ("0", ""):
        return HostKeys.IGNORE
    if (word := query.get("known_hosts_verify")) is None:
        return None
    try:
        return HostKeys(word)
    except ValueError:
        known = ", ".join(HostKeys)
        raise UsageError(f"{shown}: known_hosts_verify={word}", remedy=f"it is one of {known}") from None


def host(uri: str) -> str | None:
    """None: this one."""
    return urlsplit(uri).hostname if is_remote(uri) else None


def address(uri: str) -> str:
    """The daemon alone, without how to log in there: two URIs of one daemon have the same."""
    if not is_remote(uri):
        return uri
    parts = urlsplit(uri)
    port = "" if parts.port is None else f":{parts.port}"
    socket = dict(parse_qsl(parts.query)).get("socket")
    query = "" if socket is None else f"socket={socket}"
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, query, ""))
