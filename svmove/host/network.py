"""Images on the network, as qemu-img sees them. They have no device and inode: an image is known by its name.

Each look is a process of its own that opens a connection (50 to 100 ms), so nothing here is asked while a guest stands.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from svmove import location
from svmove.errors import HostError
from svmove.host import ceph, command, encrypted, probe
from svmove.host.info import image_record
from svmove.host.nodes import Nodes, Values
from svmove.location import Secret
from svmove.model import Image
from svmove.redact import without_keys
from svmove.units import MiB
from svmove.volumes import Taken

# What rbd, iSCSI and NBD say through QEMU of an image that is not there (QEMU 7.2).
_ABSENT = ("No such file or directory", "Requested export not available", "export '", "LUN not", "LOGICAL_UNIT_NOT")
# A cluster or a portal that does not answer in that time is told to be so.
_PATIENCE = 30.0
# Seconds for the start of a qemu-io and its connection: 0.1 to 0.3, and more on a busy host.
_CONNECT = 2.0
# What is read of a volume to see whether it is blank: partitions, file systems, images all begin there.
_HEAD = 1 * MiB


class NetworkImages:
    """Methods as of `svmove.ports_host.Host`, for locations on the network. They raise HostError."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def image(self, path: str, format_: str, luks: Secret | None) -> Image:
        info = self._info(path, encrypted.driver(format_, luks))
        allocated = info.get("actual-size") or self._data(path, info["virtual-size"])
        return replace(image_record(info, allocated), format=format_)

    def identity(self, path: str) -> str | None:
        try:
            self._info(path, "raw")
        except HostError as error:
            if any(word in error.text for word in _ABSENT):
                return None
            raise
        return location.identity(path)

    def size(self, path: str) -> int:
        return int(self._info(path, "raw")["virtual-size"])

    def taken(self, path: str) -> Taken | None:
        if self.identity(path) is None:
            return None
        with Nodes(self._values) as nodes:
            image = nodes.image(path, "raw")
            size = self.size(path)
            look = nodes.command(["qemu-io", "-r", "-U", "-c", f"read -P 0 0 {min(size, _HEAD)}"], image)
            said = command.run(look, timeout=_PATIENCE, inherited=nodes.inherited, tolerant=True)
            try:
                opening = nodes.command(["qemu-io", "-c", "quit"], image)
                command.run(opening, timeout=_PATIENCE, inherited=nodes.inherited)
            except HostError:
                writable = False
            else:
                writable = True
        thin = self._data(path, size) < size
        return Taken(size=size, blank="failed" not in said, read_only=not writable, thin=thin)

    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        if format_ == "raw":
            return ()
        found = self._ask(path, format_, "info", "--backing-chain")
        return tuple((without_keys(image["filename"]), image["format"]) for image in found[1:])

    def extents(self, path: str, format_: str) -> tuple[tuple[int, int], ...]:
        found = self._ask(path, format_, "map", alone=format_ != "raw")
        return tuple((e["start"], e["length"]) for e in found if e.get("present", e["data"]))

    def answers(self, path: str, seconds: float) -> bool:
        with Nodes(self._values) as nodes:
            return command.end_in_time([self._read(nodes, path)], seconds + _CONNECT, nodes.inherited)

    def trouble(self, path: str, seconds: float) -> str | None:
        with Nodes(self._values) as nodes:
            argv = nodes.command(["qemu-io", "-r", "-U", "-c", "read -q 0 512"], nodes.image(path, "raw"))
            try:
                command.run(argv, timeout=seconds, inherited=nodes.inherited)
            except command.SilentError:
                return f"no answer in {seconds:g} s"
            except HostError as error:
                return error.text
        return None

    def room_left(self, path: str) -> int | None:
        image = location.parse(path)
        return ceph.room(self._values, image) if image.protocol is location.Protocol.RBD else None

    def probe(self, path: str) -> probe.Read:
        with Nodes(self._values) as nodes:
            return probe.Read(self._read(nodes, path), nodes.inherited)

    def _read(self, nodes: Nodes, path: str) -> Sequence[str]:
        """A read and a flush: a write of ours would be one to the guest's copy. Read-only, or qemu-io refuses -U."""
        return nodes.command(["qemu-io", "-r", "-U", "-c", "read 0 4096", "-c", "flush"], nodes.image(path, "raw"))

    def _data(self, path: str, virtual_bytes: int) -> int:
        """What holds data, for a storage that does not say how much it has allocated; all, when it doesn't know."""
        try:
            return sum(e["length"] for e in self._ask(path, "raw", "map") if e["data"])
        except HostError:
            return virtual_bytes

    def _info(self, path: str, format_: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(path, format_, "info")
        return found

    def _ask(self, path: str, format_: str, what: str, *more: str, alone: bool = False) -> Any:
        with Nodes(self._values) as nodes:
            image = nodes.image(path, format_, alone=alone)
            argv = nodes.command(["qemu-img", what, "--output=json", "-U", *more], image)
            try:
                said = command.run(argv, timeout=_PATIENCE, inherited=nodes.inherited)
            except command.SilentError as error:
                raise HostError(f"{path} did not answer in {_PATIENCE:.0f} s") from error
            except HostError as error:
                why = error.text.removeprefix(f"qemu-img {what}: ").removeprefix("qemu-img: ")
                raise HostError(f"{path} can't be opened: {why}", remedy=error.remedy) from error
            return json.loads(said)
