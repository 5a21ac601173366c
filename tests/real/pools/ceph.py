"""A Ceph cluster of one node, without systemd: mon, mgr and one OSD on loopback, with cephx."""

import base64
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import run
from tests.real.filesystems import defined
from tests.real.network import Network
from tests.real.pools.secrets import secret
from tests.real.pools.servers import free_port, served
from tests.real.world import World, until

POOL = "vms"  # Ceph's own
_SLOW = 240.0  # where there is no KVM
USER = "libvirt"

# One copy of everything, on one host; what a node that is full or alone warns of does not matter here.
# Of erasure codes none: without KVM a machine's CPU (qemu64) has no SSSE3, and the mon that loads them ends.
_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
pid file = {folder}/$name.pid
mon data = {folder}/mon
mgr data = {folder}/mgr
osd data = {folder}/osd
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon data avail warn = 1
mon data avail crit = 1
osd objectstore = bluestore
bluestore block size = {size}
osd memory target = 939524096
osd erasure code plugins =
mgr initial modules =
"""

# Caps that a mon takes over with its first keyring: no `ceph auth` command, of 0.5 s each, is needed.
_KEYS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    f"client.{USER}": {"mon": "profile rbd", "osd": f"profile rbd pool={POOL}", "mgr": f"profile rbd pool={POOL}"},
}


@dataclass(frozen=True, kw_only=True)
class Ceph:
    """`key`: that of client.libvirt, which may do all with images of the pool `vms`, as bytes."""

    network: Network
    folder: Path
    port: int
    key: bytes
    daemons: "dict[str, subprocess.Popen[bytes]]"  # mon, mgr, osd

    def __call__(self, *words: str) -> str:
        """The command `ceph` or `rbd`, as the administrator."""
        program, *rest = words
        return run([*self.network.enter, program, "-c", self.folder / "ceph.conf", *rest]).strip()

    def source(self, image: str, uuid: str) -> etree._Element:
        """Of a disk, with the libvirt secret `uuid`."""
        return E.source(
            E.host(name="127.0.0.1", port=str(self.port)),
            E.auth(E.secret(type="ceph", uuid=uuid), username=USER),
            protocol="rbd",
            name=f"{POOL}/{image}",
        )


@contextmanager
def ceph(network: Network, folder: Path, size: int = 8 << 30) -> Iterator[Ceph]:
    """Up in 6 to 12 s, in 0.6 GB of memory. `size`: bytes of the one OSD, sparse in `folder`."""
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("mon", "mgr", "osd"):
        (folder / name).mkdir()
    fsid, port, conf, keyring = str(uuid.uuid4()), free_port(network), folder / "ceph.conf", folder / "keyring"
    conf.write_text(_CONF.format(fsid=fsid, port=port, folder=folder, size=size))
    for name, caps in _KEYS.items():
        words = [word for kind, cap in caps.items() for word in ("--cap", kind, cap)]
        create = [] if keyring.exists() else ["--create-keyring"]
        run(["ceph-authtool", keyring, *create, "--gen-key", "-n", name, *words])
    run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{port}]", folder / "monmap"])
    run(["ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", keyring])
    key = run(["ceph-authtool", keyring, "-n", f"client.{USER}", "-p"]).strip()
    made = Ceph(network=network, folder=folder, port=port, key=base64.b64decode(key), daemons={})
    osd = str(uuid.uuid4())
    (folder / "osd/keyring").write_text(f"[osd.0]\n\tkey = {run(['ceph-authtool', keyring, '-n', 'osd.0', '-p'])}")

    def daemon(program: str, name: str, *more: str) -> list[str | Path]:
        return [program, "-c", conf, "-f", "-i", name, *more]

    with ExitStack() as stack:

        def up(program: str, name: str) -> None:
            kind = program.removeprefix("ceph-")
            ready = (folder / f"{kind}.{name}.asok").exists
            server = served(network, daemon(program, name), ready, folder / "said", within=_SLOW)
            made.daemons[kind] = stack.enter_context(server)

        up("ceph-mon", "a")
        up("ceph-mgr", "x")
        assert made("ceph", "osd", "new", osd) == "0"
        run(network.words(daemon("ceph-osd", "0", "--mkfs", "--osd-uuid", osd)))
        up("ceph-osd", "0")
        made("ceph", "osd", "pool", "create", POOL, "8")
        made("rbd", "pool", "init", POOL)
        until(lambda: _clean(made("ceph", "pg", "stat")) >= 8, "the pool's placement groups are active", _SLOW)
        yield made


def _clean(stat: str) -> int:
    """Placement groups; the mgr makes a pool of its own, of one, sooner or later."""
    found = re.search(r"(\d+) active\+clean", stat)
    return int(found[1]) if found else 0


@contextmanager
def rbd_pool(world: World, cluster: Ceph, name: str = "ceph") -> Iterator[str]:
    """A libvirt pool of its images; yields the uuid of the secret that opens it."""
    with secret(world, cluster.key, "ceph", f"client.{USER} {name}") as uuid:
        element = E.pool(
            E.name(name),
            E.source(
                E.host(name="127.0.0.1", port=str(cluster.port)),
                E.name(POOL),
                E.auth(E.secret(uuid=uuid), type="ceph", username=USER),
            ),
            type="rbd",
        )
        with defined(world, element):
            yield uuid
