"""An NBD server: named exports, on a UNIX socket that QEMU's user may open, and on a loopback port."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import E

from tests.real.network import Network
from tests.real.pools.servers import free_port, served


@dataclass(frozen=True, kw_only=True)
class Nbd:
    """The exports are the sparse raw files in `folder`, by their names."""

    folder: Path
    socket: Path
    port: int
    servers: "tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]"  # of the socket, of the port

    def uri(self, export: str, *, tcp: bool = False) -> str:
        return f"nbd://127.0.0.1:{self.port}/{export}" if tcp else f"nbd+unix:///{export}?socket={self.socket}"

    def source(self, export: str, *, tcp: bool = False) -> etree._Element:
        """Of a disk."""
        host = (
            {"name": "127.0.0.1", "port": str(self.port)} if tcp else {"transport": "unix", "socket": str(self.socket)}
        )
        return E.source(E.host(**host), protocol="nbd", name=export)


@contextmanager
def nbd(
    network: Network,
    folder: Path,
    size: int,
    exports: Sequence[str] = ("disk",),
    *,
    read_only: bool = False,
    filters: Sequence[str] = (),
) -> Iterator[Nbd]:
    """`size`: bytes of each export. `filters`: further words for nbdkit, such as --filter=error error-pwrite=EIO."""
    files, socket, port = folder / "exports", folder / "socket", free_port(network)
    files.mkdir(parents=True)
    for export in exports:
        with (files / export).open("wb") as file:
            file.truncate(size)
    options = [word for word in filters if word.startswith("--")] + (["-r"] if read_only else [])
    parameters = [f"dir={files}", *(word for word in filters if not word.startswith("--"))]

    def server(*listen: str | Path) -> list[str | Path]:
        return ["nbdkit", "-f", *listen, *options, "file", *parameters]

    with ExitStack() as stack:
        log = folder / "said"
        unix = stack.enter_context(served(network, server("-U", socket), socket.exists, log))
        tcp = stack.enter_context(
            served(network, server("-i", "127.0.0.1", "-p", str(port)), lambda: network.listens(port), log)
        )
        socket.chmod(0o666)
        yield Nbd(folder=files, socket=socket, port=port, servers=(unix, tcp))
