"""A network of the lab's own, by a cable to ours: what listens on loopback there is not on loopback here."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from svmove.lab.command import run
from svmove.lab.errors import LabError

# Whether the lab of this run is another host.
SSH = bool(os.environ.get("SVMOVE_TEST_SSH"))

# For benchmarks of networks (RFC 2544), so nobody's: four addresses a cable.
_SUBNETS = 255
_HERE, _THERE = "198.18.{}.1", "198.18.{}.2"

_LISTENS = """
import socket, sys
sys.exit(socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1]))))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A host as its network has it: where it is reached, and how a command gets there."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()

    def words(self, argv: Sequence[str | Path]) -> list[str]:
        return [*self.enter, *(str(word) for word in argv)]

    def listens(self, port: int) -> bool:
        """Whether somebody does, on that host's loopback."""
        argv = self.words([sys.executable, "-I", "-S", "-c", _LISTENS, str(port)])
        return subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 0


HERE = Network()


@contextmanager
def network() -> Iterator[Network]:
    """It lasts as long as something runs in it, which this ends with its cable alone."""
    # Not `ip netns`, whose names stay when whoever runs the tests is killed.
    holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
    try:
        while _net(holder.pid) == _net("self"):
            assert holder.poll() is None, "there is no right to make a network"
            time.sleep(0.01)
        enter = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")
        name, number = _cable(holder.pid)
        try:
            run(["ip", "address", "add", f"{_HERE.format(number)}/30", "dev", name])
            run(["ip", "link", "set", name, "up"])
            run([*enter, "ip", "address", "add", f"{_THERE.format(number)}/30", "dev", "svmove"])
            for one in ("lo", "svmove"):
                run([*enter, "ip", "link", "set", one, "up"])
            yield Network(address=_THERE.format(number), enter=enter)
        finally:
            with suppress(LabError):  # it went with its other end
                run(["ip", "link", "delete", name])
    finally:
        holder.kill()
        holder.wait()


def _net(pid: int | str) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


def _cable(pid: int) -> tuple[str, int]:
    """Its name here, and the number that is its subnet's as well. Two runs of the tests may want the same one."""
    for number in range(_SUBNETS):
        name = f"svmove-{number}"
        if not Path("/sys/class/net", name).exists():
            try:
                run(["ip", "link", "add", name, "type", "veth", "peer", "name", "svmove", "netns", str(pid)])
            except LabError as error:
                if "exists" not in str(error):
                    raise
            else:
                return name, number
    raise AssertionError("no subnet is free")
