"""An SSH server of the tests' own, inside the lab's mount namespace: to svmove the lab is another host then.

It sees the lab's /run, so libvirt's socket lies where it lies on any host; it listens on a loopback port, with host and
user keys that were made for it.
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

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    folder: Path
    port: int
    pid: int
    libvirt: Path  # its socket there

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def uri(self, **parameters: str) -> str:
        known = {"keyfile": str(self.folder / "user_key"), "known_hosts": str(self.known_hosts)}
        known |= {"socket": str(self.libvirt), **parameters}
        query = "&".join(f"{key}={value}" for key, value in known.items() if value)
        return f"qemu+ssh://root@127.0.0.1:{self.port}/system?{query}"

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
def sshd(lab: Lab, folder: Path) -> Iterator[Server]:
    folder.mkdir(mode=0o755)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kind, key, *_ = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
    daemon = lab.daemon.pid()
    assert daemon is not None
    # /run is the lab's there, and sshd wants a folder of its own in it.
    enter = ["nsenter", "--target", str(daemon), "--mount", "--"]
    subprocess.run([*enter, "mkdir", "-p", "/run/sshd"], check=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*enter, "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = Server(folder=folder, port=port, pid=process.pid, libvirt=lab.paths.socket)
    try:
        _await(port, process, folder / "log")
        yield server
    finally:
        server.cut()
        process.kill()
        process.wait()


def _await(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 15
    while True:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
