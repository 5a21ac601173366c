"""QEMU's own monitor, for the one case that libvirt can't help with: its daemon died while a guest stood still.

QEMU listens on the monitor's socket again when the daemon is gone (`server=on`). While the daemon lives it holds the
only connection, so nobody is answered here, and nothing happens. Commands: QEMU's QMP reference, `cont`.
"""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from svmove.errors import HostError

# A QEMU that is not busy greets within a millisecond.
_PATIENCE = 0.5
# As libvirt starts QEMU: -chardev socket,id=charmonitor,fd=28,server=on  (before 6.0: path=/...)
_CHARDEV = re.compile(r"socket,id=charmonitor,(?:fd=(?P<fd>\d+)|path=(?P<path>[^,]+))")


def go_on(pid: int) -> bool:
    """Lets a suspended guest go on: whether it runs now. Raises HostError when the monitor can't be found or used."""
    try:
        with _connected(_socket_of(pid)) as monitor:
            next(monitor)  # the greeting
            _ask(monitor, "qmp_capabilities")
            if _ask(monitor, "query-status")["running"]:
                return True
            _ask(monitor, "cont")
            return bool(_ask(monitor, "query-status")["running"])
    except (OSError, ValueError, KeyError, StopIteration, TypeError) as error:
        raise HostError(f"the monitor of process {pid} does not answer: {error}") from error


class _Monitor:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if not (line := self._lines.readline()):
            raise StopIteration
        found: dict[str, Any] = json.loads(line)
        return found

    def send(self, command: str) -> None:
        self._connection.sendall(json.dumps({"execute": command}).encode() + b"\n")


def _ask(monitor: _Monitor, command: str) -> dict[str, Any]:
    monitor.send(command)
    for answer in monitor:  # events come in between
        if "return" in answer:
            returned: dict[str, Any] = answer["return"]
            return returned
        if "error" in answer:
            raise ValueError(f"{command}: {answer['error'].get('desc')}")
    raise StopIteration


@contextmanager
def _connected(path: Path) -> Iterator[_Monitor]:
    # By the folder's descriptor: the path of a socket must not be longer than 107 bytes.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            yield _Monitor(connection)
    finally:
        os.close(folder)


def _socket_of(pid: int) -> Path:
    """The monitor's socket as seen from here, whatever mount namespace QEMU is in."""
    process = Path(f"/proc/{pid}")
    found = _CHARDEV.search((process / "cmdline").read_bytes().decode(errors="replace"))
    if found is None:
        raise ValueError("no monitor of libvirt's in its arguments")
    path = found["path"]
    if path is None:
        inode = str((process / "fd" / found["fd"]).readlink()).removeprefix("socket:[").removesuffix("]")
        lines = (line.split() for line in (process / "net/unix").read_text().splitlines())
        path = next(fields[7] for fields in lines if len(fields) > 7 and fields[6] == inode)
    return process / "root" / path.lstrip("/")
