"""How a host is reached, from the URI and ssh's own configuration: one or more hops, the last is the host itself.

Keywords of ssh_config(5) that count: HostName, User, Port, IdentityFile, IdentitiesOnly, ProxyJump, ProxyCommand,
UserKnownHostsFile, StrictHostKeyChecking, and Host and Match. Others are passed over.
"""

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from svmove.addresses import HostKeys, Target
from svmove.errors import UsageError

_PORT = 22
_SYSTEM = (Path("/etc/ssh/ssh_config"),)
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:]+)(?::(?P<port>\d+))?")
_ACCEPTS = {"yes": HostKeys.REFUSE, "ask": HostKeys.REFUSE, "accept-new": HostKeys.ADD}
_ACCEPTS |= {"no": HostKeys.IGNORE, "off": HostKeys.IGNORE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    host: str
    port: int
    user: str
    known_as: str  # in the file of the known hosts
    known_hosts: tuple[Path, ...]  # the first is the user's own
    host_keys: HostKeys
    keys: tuple[Path, ...]  # files of private keys; none: ssh's usual ones
    agent: bool
    proxy: str | None = None  # a command that brings the connection


def read_config(home: Path | None = None) -> paramiko.SSHConfig:
    """The user's, then the system's: of a keyword the first one counts. Raises UsageError."""
    config = paramiko.SSHConfig()
    for path in ((home or Path.home()) / ".ssh" / "config", *_SYSTEM):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                config.parse(file)
        except FileNotFoundError:
            continue
        except (OSError, paramiko.ConfigParseError) as error:
            raise UsageError(f"{path}: {error}") from error
    return config


def hops(target: Target, config: paramiko.SSHConfig, home: Path | None = None) -> tuple[Hop, ...]:
    """Raises UsageError."""
    home = home or Path.home()
    found: Mapping[str, Any] = config.lookup(target.host)
    before: tuple[Hop, ...] = ()
    jumps = found.get("proxyjump", "none")
    if jumps != "none":
        before = tuple(_jump(word.strip(), config, home) for word in jumps.split(","))
    proxy = found.get("proxycommand", "none")
    return (*before, _hop(target, found, home, proxy=None if before or proxy == "none" else proxy))


def _jump(word: str, config: paramiko.SSHConfig, home: Path) -> Hop:
    parts = _JUMP.fullmatch(word)
    if parts is None:
        raise UsageError(f"ssh's configuration has a ProxyJump that is not understood: {word}")
    host = parts["host"].strip("[]")
    target = Target(host=host, user=parts["user"], port=int(parts["port"]) if parts["port"] else None)
    return _hop(target, config.lookup(host), home, proxy=None)


def _hop(target: Target, found: Mapping[str, Any], home: Path, *, proxy: str | None) -> Hop:
    name, port = found.get("hostname", target.host), target.port or int(found.get("port", _PORT))
    known = (
        (Path(target.known_hosts),)
        if target.known_hosts
        else tuple(_path(word, home) for word in found.get("userknownhostsfile", "~/.ssh/known_hosts").split())
    )
    named = [target.keyfile] if target.keyfile else found.get("identityfile", [])
    only = found.get("identitiesonly", "no") == "yes" or target.keyfile is not None
    return Hop(
        host=name,
        port=port,
        user=target.user or found.get("user") or getpass.getuser(),
        known_as=name if port == _PORT else f"[{name}]:{port}",
        known_hosts=(*known, Path("/etc/ssh/ssh_known_hosts")) if not target.known_hosts else known,
        host_keys=target.host_keys or _ACCEPTS.get(found.get("stricthostkeychecking", "ask"), HostKeys.REFUSE),
        keys=tuple(_path(word, home) for word in named) if "privkey" in target.login else (),
        agent="agent" in target.login and not only,
        proxy=proxy,
    )


def _path(word: str, home: Path) -> Path:
    return Path(re.sub(r"^(~|%d)(?=/|$)", str(home), word)) if word[:1] in "~%" else Path(os.path.expandvars(word))
