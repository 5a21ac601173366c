"""Between any two kinds of place: the writing guest's disk goes there live, every byte is compared, and what the plan
said that it would lose is what it lost."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from svmove.host.local import LocalHost
from svmove.lab.watch import Watch
from svmove.units import GiB
from tests.real.filesystems import small
from tests.real.pools import record
from tests.real.pools.blocks import partitions
from tests.real.pools.ceph import ceph, rbd_pool
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.world import GUEST, World

SIZE = GiB  # of the guest's vdb
# The guest writes on, and formats have metadata of their own.
MORE = 1.5


@dataclass(frozen=True, kw_only=True)
class Place:
    kind: str
    disk: str  # of --disk
    words: tuple[str, ...] = ()


@contextmanager
def folder(_world: World) -> Iterator[Place]:
    yield Place(kind="dir, raw", disk="vdb=lab-a,format=raw,name=lab-guest-vdb.img")


@contextmanager
def qcow2(_world: World) -> Iterator[Place]:
    yield Place(kind="dir, qcow2", disk="vdb=lab-b,format=qcow2,name=vdb.qcow2")


@contextmanager
def xfs(world: World) -> Iterator[Place]:
    with small(world, "3G", name="on-xfs", kind="xfs"):
        yield Place(kind="fs, raw on XFS", disk="vdb=on-xfs,format=raw,name=vdb.img")


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
        yield Place(kind="rbd", disk="vdb=ceph,name=vdb")


@contextmanager
def partition(world: World) -> Iterator[Place]:
    with partitions(world, SIZE, [SIZE]) as device:
        yield Place(kind="disk", disk=f"vdb=parts,name={Path(device).name}p1", words=("--overwrite",))


def goes(world: World, before: str, place: Place) -> None:
    old = world.domain().disk("vdb")
    assert old is not None
    assert old.path is not None
    allocated = _allocated(world, old.path, old.format)
    with Watch(world.lab.console) as watch:
        result = world.cli.move(GUEST, "--disk", place.disk, *place.words)
    document = result.document
    assert result.code == 0, f"{before} → {place.kind}: " + json.dumps(document, indent=1) + result.stderr
    (moved,) = document["disks"]
    assert (document["state"], moved["verified"], moved["mismatches"]) == ("done", True, [])
    domain = world.domain()
    for disks in (domain.live, domain.inactive):
        assert [disk.path for disk in disks if disk.target == "vdb"] == [moved["destination"]]
    assert domain.marker is None
    assert watch.pause is not None
    assert watch.pause.suspended < 2.0
    after = _allocated(world, moved["destination"], moved["format"])
    told = "thinness" in {finding["code"] for finding in document["findings"]}
    assert told == (after > allocated * MORE), f"{before} → {place.kind}: {allocated} → {after}, told: {told}"
    seconds = document["seconds"]
    record.write(
        record.Row(
            source=before,
            destination=place.kind,
            copy=seconds["copy"],
            verify=seconds["verify"],
            pause=seconds["pause"],
            before=allocated,
            after=after,
            told=told,
        )
    )


def _allocated(world: World, path: str, format_: str) -> int:
    return LocalHost(world.hypervisor.secret).image(path, format_).allocated_bytes


def every_pair(kinds: Sequence[str]) -> list[str]:
    """A walk that begins and ends at the first of the kinds, and goes from each to each other one once."""
    left = {kind: [other for other in kinds if other != kind] for kind in kinds}
    walk, path = list[str](), [kinds[0]]
    while path:  # Hierholzer
        if left[path[-1]]:
            path.append(left[path[-1]].pop())
        else:
            walk.append(path.pop())
    return walk[::-1]


def test_a_disk_goes_from_every_kind_of_place_to_every_other_one(guest: World) -> None:
    with ExitStack() as stack:
        thin = [stack.enter_context(make(guest)) for make in (folder, qcow2, xfs, export, lun, image)]
        places = {place.kind: place for place in thin}
        home, *others = list(places)
        walk = every_pair([home, *others])
        whole = stack.enter_context(partition(guest))
        # A partition tells of no holes, and from then on there are none: it comes last.
        for kind in (*others, home):
            walk += [whole.kind, kind]
        places[whole.kind] = whole
        if guest.path("vdb").parent.name != "lab-a":
            goes(guest, "home", places[home])
        try:
            for before, kind in itertools.pairwise(walk):
                goes(guest, before, places[kind])
            guest.lab.check()
        finally:
            if not str(guest.path("vdb")).startswith(str(guest.lab.paths.pool("lab-a"))):
                assert guest.cli.move(GUEST, "--disk", places[home].disk).code == 0


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(xfs, marks=pytest.mark.chosen),
        pytest.param(lun, marks=pytest.mark.chosen),
        pytest.param(image, marks=pytest.mark.chosen),
        export,
        partition,  # from which the disk comes back fully allocated
    ],
)
def test_a_disk_goes_there_and_comes_back(guest: World, make: Callable[[World], AbstractContextManager[Place]]) -> None:
    with make(guest) as place:
        try:
            goes(guest, "home", place)
            guest.lab.check()
        finally:
            result = guest.cli.move(GUEST, "--disk", "vdb=lab-a,name=lab-guest-vdb.img,format=raw")
            assert result.code == 0, result.stdout
    guest.lab.check()
