"""An image on the network as QEMU's block options (qapi/block-core.json, BlockdevOptions), and back."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from svmove.location import PORTS, Network, Protocol, Server, parse

Options = dict[str, Any]


def options(image: Network, secret: str | None) -> Options:
    """`secret`: the id of the QEMU object that has the secret's value."""
    match image.protocol:
        case Protocol.RBD:
            return _rbd(image, secret)
        case Protocol.ISCSI:
            return _iscsi(image, secret)
        case Protocol.NBD:
            return {"driver": "nbd", "server": _nbd_server(image), "export": image.name}


def _rbd(image: Network, secret: str | None) -> Options:
    pool, _, name = image.name.partition("/")
    found: Options = {"driver": "rbd", "pool": pool, "image": name}
    if "/" in name:
        found["namespace"], found["image"] = name.split("/", 1)
    if image.servers:
        found["server"] = [{"host": s.host, "port": str(s.port or PORTS[Protocol.RBD])} for s in image.servers]
    if image.user and secret:
        found |= {"user": image.user, "key-secret": secret, "auth-client-required": ["cephx"]}
    return found


def _iscsi(image: Network, secret: str | None) -> Options:
    target, _, lun = image.name.rpartition("/")
    server = image.servers[0]
    found: Options = {
        "driver": "iscsi",
        "transport": "tcp",
        "portal": str(Server(host=server.host, port=server.port or PORTS[Protocol.ISCSI])),
        "target": target,
        "lun": int(lun),
    }
    if image.initiator:
        found["initiator-name"] = image.initiator
    if image.user and secret:
        found |= {"user": image.user, "password-secret": secret}
    return found


def _nbd_server(image: Network) -> Options:
    if image.socket is not None:
        return {"type": "unix", "path": image.socket}
    server = image.servers[0]
    return {"type": "inet", "host": server.host, "port": str(server.port or PORTS[Protocol.NBD])}


def image_of(filename: str) -> Network | None:
    """What a block node's file name says (`query-named-block-nodes`): a URI, or "json:" and options. None: a file."""
    if filename.startswith("rbd:") and "://" not in filename:
        return _of_old_rbd(filename)
    if not filename.startswith("json:"):
        return _of_uri(filename)
    found = json.loads(filename.removeprefix("json:"))
    while isinstance(found.get("file"), dict):  # format and filter nodes above it
        found = found["file"]
    return _of(_nested(found))


def _of(found: Mapping[str, Any]) -> Network | None:
    match found.get("driver"):
        case "rbd":
            parts = (found["pool"], found.get("namespace"), found["image"])
            return Network(
                protocol=Protocol.RBD,
                name="/".join(part for part in parts if part),
                servers=tuple(Server(host=s["host"], port=int(s["port"])) for s in found.get("server", ())),
            )
        case "iscsi":
            name = f"{found['target']}/{found.get('lun', 0)}"
            return Network(protocol=Protocol.ISCSI, name=name, servers=parse(f"iscsi://{found['portal']}/").servers)
        case "nbd":
            server, name = found.get("server", {}), found.get("export", "")
            if (path := server.get("path") or found.get("path")) is not None:
                return Network(protocol=Protocol.NBD, name=name, socket=path)
            host, port = (
                server.get("host") or found.get("host"),
                server.get("port") or found.get("port", PORTS[Protocol.NBD]),
            )
            return Network(protocol=Protocol.NBD, name=name, servers=(Server(host=str(host), port=int(port)),))
    return None


def _of_uri(filename: str) -> Network | None:
    scheme = urlsplit(filename).scheme
    if scheme.partition("+")[0] not in list(Protocol):
        return None
    return parse(filename)


def _of_old_rbd(filename: str) -> Network:
    """rbd:pool/image:id=user:key=VALUE:mon_host=a\\:1\\;b; a colon in a word has a backslash before it. Whatever opens
    it is left out; so are its servers where the host's own configuration names them."""
    name, *words = (re.sub(r"\\(.)", r"\1", word) for word in re.split(r"(?<!\\):", filename.removeprefix("rbd:")))
    hosts = next((word.removeprefix("mon_host=") for word in words if word.startswith("mon_host=")), "")
    try:
        servers = parse(f"rbd://{','.join(re.split('[;,]', hosts))}/").servers
    except ValueError:  # with versions of its protocol: [v2:...,v1:...]
        servers = ()
    return Network(protocol=Protocol.RBD, name=name.partition("@")[0], servers=servers)


def _nested(flat: Mapping[str, Any]) -> Options:
    """QEMU writes what it was given flat as well: "server.0.host"."""
    found: Options = {}
    for key, value in flat.items():
        first, *rest = key.split(".")
        if not rest:
            found[first] = value
        elif rest[0].isdigit():
            servers = found.setdefault(first, [])
            while len(servers) <= int(rest[0]):
                servers.append({})
            servers[int(rest[0])][".".join(rest[1:])] = value
        else:
            found.setdefault(first, {})[".".join(rest)] = value
    return found
