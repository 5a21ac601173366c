"""The kinds of places that a disk can be in, each with its server, and how a test takes the guest's disk there."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from svmove.lab.command import run
from svmove.lab.watch import Watch
from svmove.units import MiB
from svmove.volumes import LUKS_HEADER
from tests.real.filesystems import small
from tests.real.pools import luks, record
from tests.real.pools.blocks import partitions
from tests.real.pools.ceph import ceph, rbd_pool
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.pools.places import capacity
from tests.real.world import GUEST, World

# The guest writes on, and formats have metadata of their own.
_MORE = 1.5
# What a move can lose, by the finding that tells of it.
_LOSSES = ("checkpoints", "decrypted", "thinness")
_POINT = "svmove-tests"


def size(world: World) -> int:
    """Bytes, of the guest's vdb."""
    return capacity(world, "vdb")


@dataclass(frozen=True, kw_only=True)
class Place:
    kind: str
    disk: str  # of --disk
    words: tuple[str, ...] = ()
    locked: bool = False  # encrypted
    thin: bool = True  # it tells of holes
    no_cow: bool = False  # files there are written in place
    backing: Path | None = None  # of a volume that is taken: the file on its server
    ready: Callable[[], None] | None = None  # makes the volume that is to be taken

    @property
    def volume(self) -> tuple[str, str] | None:
        """Pool and name, of a volume that a move makes. None: it is taken as it is."""
        words = self.disk.partition("=")[2].split(",")
        names = [word.removeprefix("name=") for word in words if word.startswith("name=")]
        return (words[0], names[0]) if names and "--overwrite" not in self.words else None


@contextmanager
def _raw(_world: World) -> Iterator[Place]:
    yield Place(kind="dir, raw", disk="vdb=lab-a,format=raw,name=lab-guest-vdb.img")


@contextmanager
def _qcow2(_world: World) -> Iterator[Place]:
    yield Place(kind="dir, qcow2", disk="vdb=lab-b,format=qcow2,name=vdb.qcow2")


@contextmanager
def _xfs(world: World) -> Iterator[Place]:
    with small(world, "3G", name="on-xfs", kind="xfs"):
        yield Place(kind="fs, raw on XFS", disk="vdb=on-xfs,format=raw,name=vdb.img")


@contextmanager
def _btrfs(world: World) -> Iterator[Place]:
    """As libvirt builds a pool there: without copy on write, which new files have from their folder."""
    with small(world, "3G", name="on-btrfs", kind="btrfs") as pool:
        world.virsh("pool-destroy", pool.name)
        world.virsh("pool-build", pool.name)
        world.virsh("pool-start", pool.name)
        assert "C" in run(["lsattr", "-d", pool.folder]).split()[0]
        yield Place(kind="fs, raw on btrfs", disk="vdb=on-btrfs,format=raw,name=vdb.img", no_cow=True)


@contextmanager
def _tmpfs(world: World) -> Iterator[Place]:
    with small(world, "1500M", name="on-tmpfs", kind="tmpfs"):
        yield Place(kind="dir, raw on tmpfs", disk="vdb=on-tmpfs,format=raw,name=vdb.img")


@contextmanager
def _lun(world: World) -> Iterator[Place]:
    with iscsi(world.network, world.folder / "iscsi", [size(world)]) as target, iscsi_pool(world, target):
        yield Place(
            kind="iscsi-direct", disk="vdb=luns,name=unit:0:0:1", words=("--overwrite",), backing=target.luns[0]
        )


@contextmanager
def _export(world: World) -> Iterator[Place]:
    with nbd(world.network, world.folder / "nbd", size(world)) as server:
        disk = f"vdb={server.uri('disk')}"
        yield Place(kind="nbd", disk=disk, words=("--overwrite",), backing=server.folder / "disk")


@contextmanager
def _image(world: World) -> Iterator[Place]:
    with ceph(world.network, world.folder / "ceph") as cluster, rbd_pool(world, cluster):
        yield Place(kind="rbd", disk="vdb=ceph,name=vdb")


@contextmanager
def _partition(world: World) -> Iterator[Place]:
    with partitions(world, size(world), [size(world)]) as device:
        disk = f"vdb=parts,name={Path(device).name}p1"
        yield Place(kind="disk, a block device", disk=disk, words=("--overwrite",), thin=False)


@contextmanager
def _luks_raw(world: World) -> Iterator[Place]:
    with luks.passphrase(world, "raw") as secret:
        disk = "vdb=lab-b,format=raw,name=locked.img"
        yield Place(kind="dir, raw in LUKS", disk=disk, words=("--encrypt", secret), locked=True, thin=False)


@contextmanager
def _luks_qcow2(world: World) -> Iterator[Place]:
    with luks.passphrase(world, "qcow2") as secret:
        disk = "vdb=lab-a,format=qcow2,name=locked.qcow2"
        yield Place(kind="dir, qcow2 with LUKS", disk=disk, words=("--encrypt", secret), locked=True)


@contextmanager
def _luks_partition(world: World) -> Iterator[Place]:
    """Larger, by some MiB."""
    length = size(world) + 4 * MiB
    with luks.passphrase(world, "partition") as secret, partitions(world, length, [length], "locked-parts") as device:
        disk = f"vdb=locked-parts,name={Path(device).name}p1"
        words = ("--overwrite", "--encrypt", secret)
        yield Place(kind="disk, a block device in LUKS", disk=disk, words=words, locked=True, thin=False)


@contextmanager
def _luks_lun(world: World) -> Iterator[Place]:
    with (
        luks.passphrase(world, "lun") as secret,
        iscsi(world.network, world.folder / "locked-iscsi", [size(world) + LUKS_HEADER]) as target,
        iscsi_pool(world, target, "locked-luns"),
    ):
        yield Place(
            kind="iscsi-direct in LUKS",
            disk="vdb=locked-luns,name=unit:0:0:1",
            words=("--overwrite", "--encrypt", secret),
            locked=True,
            thin=False,
            backing=target.luns[0],
        )


@contextmanager
def _luks_image(world: World) -> Iterator[Place]:
    with (
        luks.passphrase(world, "image") as secret,
        ceph(world.network, world.folder / "locked-ceph") as cluster,
        rbd_pool(world, cluster, "locked-ceph"),
    ):
        disk = "vdb=locked-ceph,name=locked"
        yield Place(kind="rbd in LUKS", disk=disk, words=("--encrypt", secret), locked=True, thin=False)


HOME = "raw"
KINDS: Mapping[str, Callable[[World], AbstractContextManager[Place]]] = {
    HOME: _raw,
    "qcow2": _qcow2,
    "xfs": _xfs,
    "btrfs": _btrfs,
    "tmpfs": _tmpfs,
    "nbd": _export,
    "iscsi": _lun,
    "rbd": _image,
    "partition": _partition,
    "luks-raw": _luks_raw,
    "luks-qcow2": _luks_qcow2,
    "luks-partition": _luks_partition,
    "luks-iscsi": _luks_lun,
    "luks-rbd": _luks_image,
}


def goes(world: World, before: Place, place: Place) -> record.Row:
    """The guest's vdb goes there: live, verified, and with no other losses than those that were told; it goes on."""
    row = _goes(world, before, place)
    world.lab.check()
    record.write(row)
    return row


def _goes(world: World, before: Place, place: Place) -> record.Row:
    old = world.domain().disk("vdb")
    assert old is not None
    assert old.path is not None
    allocated = _allocated(world, old.path, old.format)
    point = old.format == "qcow2"  # alone it has dirty bitmaps
    if point:
        specs = [word for spec in ("vda,checkpoint=no", "vdb,checkpoint=bitmap") for word in ("--diskspec", spec)]
        world.virsh("checkpoint-create-as", GUEST, _POINT, *specs)
    if place.ready is not None:
        place.ready()
    words = [*place.words, *(["--decrypt"] if before.locked and not place.locked else [])]
    most = size(world) * 0.9
    full = place.backing is not None and place.backing.stat().st_blocks * 512 > most
    with Watch(world.lab.console) as watch:
        result = world.cli.move(GUEST, "--disk", place.disk, *words)
    document = result.document
    assert result.code == 0, f"{before.kind} → {place.kind}: " + json.dumps(document, indent=1) + result.stderr
    (moved,) = document["disks"]
    assert (document["state"], moved["verified"], moved["mismatches"]) == ("done", True, [])
    domain = world.domain()
    for disks in (domain.live, domain.inactive):
        ((path, luks_),) = [(disk.path, disk.luks) for disk in disks if disk.target == "vdb"]
        assert path == moved["destination"]
        assert (luks_ is not None) == place.locked
    assert domain.marker is None
    assert watch.pause is not None
    assert watch.pause.suspended < 2.0, (watch.pause, document["seconds"])
    after = _allocated(world, moved["destination"], moved["format"])
    along = ("checkpoints", "note")  # these say that they are carried over
    said = {finding["code"] for finding in document["findings"] if (finding["code"], finding["level"]) != along}
    told = tuple(code for code in _LOSSES if code in said)
    # A volume that is taken and full tells of no holes, though it may take them.
    lost = after > allocated * _MORE or (full and allocated < most)
    assert ("thinness" in told) == lost, f"{allocated} → {after}, told: {told}"
    if place.no_cow:
        assert "C" in run(["lsattr", moved["destination"]]).split()[0]
    assert ("decrypted" in told) == (before.locked and not place.locked)
    assert ("checkpoints" in told) == (point and not forget(world))
    seconds = document["seconds"]
    return record.Row(
        source=before.kind,
        destination=place.kind,
        copy=seconds["copy"],
        verify=seconds["verify"],
        pause=seconds["pause"],
        before=allocated,
        after=after,
        told=told,
    )


def forget(world: World) -> bool:
    """The checkpoint that a disk in qcow2 is given, and whether it was there."""
    points = world.domain().checkpoints
    for point in points:
        world.virsh("checkpoint-delete", GUEST, point.name)
    return bool(points)


def _allocated(world: World, path: str, format_: str) -> int:
    disk = world.domain().disk("vdb")
    world.host.unlock(path, disk.luks if disk is not None else None)
    return world.host.image(path, format_).allocated_bytes
