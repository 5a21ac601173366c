"""An SSH server of the tests' own, where the lab is: to svmove that is another host then.

It sees the lab's /run, so libvirt's socket lies where it lies on any host, and the lab's network; it has host and user
keys that were made for it. What svmove leaves in /var/lib/svmove there lies in a folder of the tests'.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from svmove.lab import Lab
from svmove.lab.command import run
from tests.real.network import Network

# Nobody else listens in that network.
_PORT = 2200
_STATE = Path("/var/lib/svmove")
_CONFIG = """\
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    network: Network
    folder: Path
    pid: int
    libvirt: Path  # its socket there
    port: int = _PORT

    @property
    def address(self) -> str:
        return self.network.address

    @property
    def scratch(self) -> Path:
        """What is /var/lib/svmove/scratch there, as it is seen here."""
        return self.folder / _STATE.name / "scratch"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def uri(self, **parameters: str) -> str:
        known = {"keyfile": str(self.folder / "user_key"), "known_hosts": str(self.known_hosts)}
        known |= {"socket": str(self.libvirt), **parameters}
        query = "&".join(f"{key}={value}" for key, value in known.items() if value)
        return f"qemu+ssh://root@{self.address}:{self.port}/system?{query}"

    def sessions(self) -> list[int]:
        """The processes that have a connection each, oldest first."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def cut(self) -> None:
        """All connections, as a router would that forgets them and says so."""
        for pid in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


@contextmanager
def sshd(lab: Lab, network: Network, folder: Path) -> Iterator[Server]:
    folder.mkdir(mode=0o755)
    (folder / _STATE.name).mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[{network.address}]:{_PORT},[127.0.0.1]:{_PORT} {kind} {key}\n")
    (folder / "config").write_text(_CONFIG.format(port=_PORT, folder=folder))
    daemon = lab.daemon.pid()
    assert daemon is not None
    enter = ["nsenter", "--target", str(daemon), "--mount", "--net", "--"]
    # /run is the lab's there, and sshd wants a folder of its own in it.
    run([*enter, "mkdir", "-p", "/run/sshd"])
    _STATE.mkdir(exist_ok=True)
    run([*enter, "mount", "-n", "--bind", folder / _STATE.name, _STATE])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*enter, "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = Server(network=network, folder=folder, pid=process.pid, libvirt=lab.paths.socket)
    try:
        _await(server, process, folder / "log")
        yield server
    finally:
        server.cut()
        process.kill()
        process.wait()


def _await(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 15
    while True:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection((server.address, server.port), 1.0):
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
