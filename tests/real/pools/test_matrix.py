"""Between any two kinds of pool: the writing guest's disk goes there live, every byte proven."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from svmove.lab.watch import Watch
from tests.real.pools import ceph, iscsi, nbd
from tests.real.world import World

SIZE = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Place:
    """How svmove is told to go there."""

    kind: str
    disk: str  # of --disk, for vdb
    words: tuple[str, ...] = ()


@contextmanager
def folder(world: World) -> Iterator[Place]:
    yield Place(kind="dir", disk="vdb=lab-b")


@contextmanager
def lun(world: World) -> Iterator[Place]:
    with iscsi(world.folder / "iscsi", [SIZE]) as target, iscsi_pool(world, target):
        yield Place(kind="iscsi-direct", disk="vdb=luns,name=unit:0:0:1", words=("--overwrite",))


@contextmanager
def export(world: World) -> Iterator[Place]:
    with nbd(world.folder / "nbd", SIZE) as server:
        yield Place(kind="nbd", disk=f"vdb={server.uri('disk')}", words=("--overwrite",))


@contextmanager
def image(world: World) -> Iterator[Place]:
    with ceph(world.folder / "ceph") as cluster, rbd_pool(world, cluster):
        yield Place(kind="rbd", disk="vdb=ceph")


@contextmanager
def partition(world: World) -> Iterator[Place]:
    with partitions(world, SIZE, [SIZE]) as device:
        yield Place(kind="disk", disk=f"vdb=parts,name={Path(device).name}p1", words=("--overwrite",))


PLACES = {"dir": folder, "iscsi-direct": lun, "nbd": export, "rbd": image, "disk": partition}


def to(world: World, place: Place) -> None:
    before = world.domain().disk("vdb")
    with Watch(world.lab.console) as watch:
        result = world.cli.move("lab-guest", "--disk", place.disk, *place.words)
    document = result.document
    assert result.code == 0, json.dumps(document, indent=1) + result.stderr
    (disk,) = document["disks"]
    assert (document["state"], disk["verified"], disk["mismatches"]) == ("done", True, [])
    after = world.domain()
    assert [d.path for d in after.live if d.target == "vdb"] == [disk["destination"]]
    assert [d.path for d in after.inactive if d.target == "vdb"] == [disk["destination"]]
    assert watch.pause is not None
    assert watch.pause.suspended < 2.0
    print(f"{before.path if before else ''} -> {disk['destination']}: {document['seconds']}, {disk['copied_bytes']}")


@pytest.mark.parametrize("kind", [kind for kind in PLACES if kind != "dir"])
def test_a_disk_goes_there_and_comes_back(guest: World, kind: str) -> None:
    with PLACES[kind](guest) as place:
        try:
            to(guest, place)
            guest.lab.check()
        finally:
            to(guest, Place(kind="dir", disk="vdb=lab-a,name=lab-guest-vdb.img"))
    guest.lab.check()
