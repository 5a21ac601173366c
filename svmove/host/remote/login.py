"""Opens an SSH connection: through its hops, by known host keys, with keys at hand. No password is asked for."""

import base64
import hashlib
import logging
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import paramiko

from svmove.addresses import HostKeys
from svmove.errors import UnreachableError
from svmove.host.remote.hops import Hop

# It tells of each connection that breaks, on the terminal; we do, in our own words.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False
# A TCP peer that is silent for half of it and again, a banner, a key exchange: each (seconds).
PATIENCE = 15.0
# A dead peer is seen by the agent's pulse; this one keeps a firewall from forgetting an idle connection.
_KEEP_ALIVE = 15


def open_(hops: Sequence[Hop]) -> list[paramiko.SSHClient]:
    """The clients of all hops; the last one is the host's. Raises UnreachableError."""
    clients: list[paramiko.SSHClient] = []
    try:
        for number, hop in enumerate(hops):
            client = paramiko.SSHClient()
            clients.append(client)
            _connect(client, hop, clients[number - 1] if number else None)
    except BaseException:
        close(clients)
        raise
    return clients


def close(clients: Sequence[paramiko.SSHClient]) -> None:
    for client in reversed(clients):
        with suppress(Exception):  # it is gone in any case
            client.close()


def _connect(client: paramiko.SSHClient, hop: Hop, through: paramiko.SSHClient | None) -> None:
    for path in hop.known_hosts if hop.host_keys is not HostKeys.IGNORE else ():
        with suppress(OSError):
            client.load_system_host_keys(str(path))
    client.set_missing_host_key_policy(_Unknown(hop))
    try:
        client.connect(
            hop.host,
            port=hop.port,
            username=hop.user,
            key_filename=[str(path) for path in hop.keys if path.exists()] or None,  # type: ignore[arg-type]
            allow_agent=hop.agent,
            look_for_keys=not hop.keys,
            timeout=PATIENCE,
            banner_timeout=PATIENCE,
            auth_timeout=PATIENCE,
            channel_timeout=PATIENCE,
            sock=_way(hop, through),
        )
    except paramiko.BadHostKeyException as error:
        raise UnreachableError(
            f"the host key of {hop.known_as} is not the one that is known: it has {fingerprint(error.key)}, "
            f"known is {fingerprint(error.expected_key)}",
            remedy="either somebody stands between, or the host was installed anew: ask who runs it, then "
            f"ssh-keygen -R {shlex.quote(hop.known_as)}",
        ) from error
    except paramiko.PasswordRequiredException as error:
        raise UnreachableError(f"a key for {_who(hop)} has a passphrase", remedy="ssh-add that key first") from error
    except paramiko.AuthenticationException as error:
        raise UnreachableError(
            f"{_who(hop)} does not let us in: {error}",
            remedy=f"make `ssh -p {hop.port} {hop.user}@{hop.host} true` work without a question: ssh-copy-id, "
            "ssh-add; or name the key: ?keyfile=",
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise UnreachableError(
            f"no SSH connection to {hop.host} port {hop.port}: {error or type(error).__name__}",
            remedy=f"try ssh -p {hop.port} {hop.user}@{hop.host}",
        ) from error
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(_KEEP_ALIVE)


def _way(hop: Hop, through: paramiko.SSHClient | None) -> paramiko.Channel | paramiko.ProxyCommand | None:
    if through is not None:
        transport = through.get_transport()
        assert transport is not None
        return transport.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=PATIENCE)
    return None if hop.proxy is None else paramiko.ProxyCommand(hop.proxy)


class _Unknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def missing_host_key(self, _client: paramiko.SSHClient, _hostname: str, key: paramiko.PKey) -> None:
        hop = self._hop
        if hop.host_keys is HostKeys.IGNORE:
            return
        if hop.host_keys is HostKeys.ADD:
            _remember(hop.known_hosts[0], hop.known_as, key)
            return
        scan = f"ssh-keyscan -p {hop.port} {shlex.quote(hop.host)} >>{shlex.quote(str(hop.known_hosts[0]))}"
        raise UnreachableError(
            f"the host key of {hop.known_as} is not known: {key.get_name()} {fingerprint(key)}",
            remedy=f"compare that with what the host itself says (ssh-keygen -lf /etc/ssh/ssh_host_*.pub), then {scan}",
        )


def _remember(path: Path, name: str, key: paramiko.PKey) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {key.get_name()} {key.get_base64()}\n")


def fingerprint(key: paramiko.PKey) -> str:
    """As ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _who(hop: Hop) -> str:
    return f"{hop.user}@{hop.host}"
