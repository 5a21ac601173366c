"""An iSCSI target in user space: tgtd on a loopback port, with CHAP, and LUNs that are sparse files."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import ENVIRONMENT
from svmove.lab.errors import LabError
from tests.real.filesystems import defined
from tests.real.network import Network
from tests.real.pools.secrets import secret
from tests.real.pools.servers import free_port, served
from tests.real.world import World

TARGET = "iqn.2026-01.org.svmove:lab"


@dataclass(frozen=True, kw_only=True)
class Iscsi:
    """LUNs are numbered from 1: tgtd's LUN 0 is the controller."""

    port: int
    user: str
    password: str
    luns: tuple[Path, ...]
    server: "subprocess.Popen[bytes]"
    again: "Callable[[], AbstractContextManager[subprocess.Popen[bytes]]]"  # the same one, when that has died

    def source(self, lun: int, uuid: str) -> etree._Element:
        """Of a disk, with the libvirt secret `uuid`."""
        return E.source(
            E.host(name="127.0.0.1", port=str(self.port)),
            E.auth(E.secret(type="iscsi", uuid=uuid), username=self.user),
            protocol="iscsi",
            name=f"{TARGET}/{lun}",
        )


@contextmanager
def iscsi(
    network: Network,
    folder: Path,
    sizes: Sequence[int],
    chap: tuple[str, str] = ("lab", "a-password-12"),
    *,
    read_only: bool = False,
) -> Iterator[Iscsi]:
    """`sizes`: bytes of each LUN. Thin: what is discarded is a hole in its file again."""
    folder.mkdir()
    port = free_port(network)
    # tgtd's control channel is a socket at this path with ".0" after it.
    environment = {"TGT_IPC_SOCKET": str(folder / "control")}

    def admin(*words: str) -> None:
        argv = ["tgtadm", "--lld", "iscsi", *words]
        done = subprocess.run(argv, capture_output=True, text=True, env={**ENVIRONMENT, **environment}, check=False)
        if done.returncode:
            raise LabError(f"tgtadm: {done.stderr.strip()}")  # without its words, one of which is the password

    luns = tuple(folder / f"lun-{number}" for number, _ in enumerate(sizes, 1))
    for backing, size in zip(luns, sizes, strict=True):
        with backing.open("wb") as file:
            file.truncate(size)

    @contextmanager
    def served_anew() -> Iterator["subprocess.Popen[bytes]"]:
        argv = ["tgtd", "-f", "--iscsi", f"portal=127.0.0.1:{port}"]
        # It ignores SIGTERM.
        with served(
            network, argv, lambda: network.listens(port), folder / "said", end=signal.SIGKILL, environment=environment
        ) as server:
            admin("--op", "new", "--mode", "target", "--tid", "1", "--targetname", TARGET)
            for number, backing in enumerate(luns, 1):
                unit = ["--mode", "logicalunit", "--tid", "1", "--lun", str(number)]
                admin("--op", "new", *unit, "--backing-store", str(backing))
                admin("--op", "update", *unit, "--params", f"thin_provisioning=1,readonly={int(read_only)}")
            account = ["--mode", "account", "--user", chap[0]]
            admin("--op", "new", *account, "--password", chap[1])
            admin("--op", "bind", *account, "--tid", "1")
            admin("--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL")
            yield server

    with served_anew() as server:
        yield Iscsi(port=port, user=chap[0], password=chap[1], luns=luns, server=server, again=served_anew)


@contextmanager
def iscsi_pool(world: World, target: Iscsi, name: str = "luns", *, private: bool = False) -> Iterator[str]:
    """A libvirt pool of its LUNs; yields the uuid of the secret that opens it."""
    with secret(world, target.password.encode(), "iscsi", f"{target.user} {name}", private=private) as uuid:
        element = E.pool(
            E.name(name),
            E.source(
                E.host(name="127.0.0.1", port=str(target.port)),
                E.device(path=TARGET),
                E.initiator(E.iqn(name="iqn.2026-01.org.svmove:initiator")),
                E.auth(E.secret(uuid=uuid), type="chap", username=target.user),
            ),
            type="iscsi-direct",
        )
        with defined(world, element):
            yield uuid
