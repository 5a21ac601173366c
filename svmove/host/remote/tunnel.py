"""libvirt's socket on another host, as a socket here: its own client then needs no ssh, netcat or login of its own."""

import atexit
import socket
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from svmove.host.remote import ship
from svmove.host.remote.line import BROKEN, Line
from svmove.host.remote.trouble import not_started

_CHUNK = 1 << 16
_ENDS = 2.0
# When Python ends its threads stand still, and libvirt would wait for an answer to its farewell for ever.
_LINKS: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


@atexit.register
def _hang_up() -> None:
    for link in list(_LINKS):
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


class Tunnel:
    def __init__(self, line: Line) -> None:
        self._line = line

    @contextmanager
    def open(self) -> Iterator[str]:
        """The URI by which one connection can be made as long as this is open; it lives on. Raises UnreachableError."""
        target = self._line.target
        channel = self._line.python(ship.PROXY, target.libvirt_socket)
        with tempfile.TemporaryDirectory(prefix="svmove-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "libvirt"
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(1)
                threading.Thread(target=_serve, args=(listener, channel), name="svmove-tunnel", daemon=True).start()
                try:
                    yield f"{target.driver}+unix://{target.path}?socket={path}"
                except Exception as error:
                    if channel.closed or channel.eof_received:
                        raise not_started(channel, target.host) from error
                    raise
                finally:
                    with suppress(OSError):
                        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, channel: paramiko.Channel) -> None:
    try:
        link, _ = listener.accept()
    except OSError:  # nobody came
        with suppress(*BROKEN):
            channel.close()
        return
    with link:
        _LINKS.add(link)
        back = threading.Thread(target=_back, args=(channel, link), name="svmove-tunnel", daemon=True)
        back.start()
        with suppress(*BROKEN):
            while chunk := link.recv(_CHUNK):
                channel.sendall(chunk)
        if channel.eof_received:  # it ended by itself, and why comes after that
            channel.status_event.wait(_ENDS)
        with suppress(*BROKEN):  # to tell the other side of it, which may be gone
            channel.close()
        back.join()


def _back(channel: paramiko.Channel, link: socket.socket) -> None:
    with suppress(*BROKEN):
        while chunk := channel.recv(_CHUNK):
            link.sendall(chunk)
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
