"""A guest that lies in a Ceph pool which is full: its writes wait there, and svmove lets nothing else of it wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from svmove.units import GiB, MiB
from tests.real.cli import finished
from tests.real.pools import places
from tests.real.pools.ceph import POOL, Ceph, ceph, rbd_pool
from tests.real.pools.test_failures import SLOW
from tests.real.world import GUEST, World, copying, until

OUT = f"vdb=lab-a,name={GUEST}-vdb.img"
_RATIOS = ("nearfull", "backfillfull", "full")


@contextmanager
def on_ceph(world: World) -> Iterator[Ceph]:
    """The guest's vdb is there, and comes home however the test ends, since its pool has room again by then."""
    with ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster, rbd_pool(world, cluster):
        result = world.cli.move(GUEST, "--disk", "vdb=ceph,name=vdb")
        assert result.code == 0, result.stdout + result.stderr
        try:
            yield cluster
        finally:
            give_room(cluster)
            places.home(world, "vdb")


def fill(cluster: Ceph, cause: str) -> None:
    if cause == "quota":
        cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", str(MiB))
    else:
        for ratio in _RATIOS:
            cluster("ceph", "osd", f"set-{ratio}-ratio", "0.05")


def give_room(cluster: Ceph) -> None:
    cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", "0")
    for ratio in reversed(_RATIOS):
        cluster("ceph", "osd", f"set-{ratio}-ratio", "0.95")


def waits(world: World) -> bool:
    """Nothing of what it writes there ends any more."""
    before = world.virsh("domblkstat", GUEST, "vdb")
    time.sleep(3)
    return world.virsh("domblkstat", GUEST, "vdb") == before


def lives(world: World) -> bool:
    """Its clock goes on: it tells the time four times a second."""
    before = world.lab.console.stat().st_size
    time.sleep(3)
    return world.lab.console.stat().st_size > before


@pytest.mark.parametrize("cause", ["quota", "full"])
def test_a_disk_whose_pool_is_full_is_refused_until_there_is_room_and_then_leaves_it(guest: World, cause: str) -> None:
    with on_ceph(guest) as cluster:
        fill(cluster, cause)
        until(lambda: waits(guest), "the guest's writes wait", 60)
        result = guest.cli.move(GUEST, "--disk", OUT)
        assert (result.code, result.codes) == (3, ["source-full"]), result.stdout
        assert "is full, or over its quota" in result.stdout
        assert lives(guest)
        assert guest.virsh("domstate", GUEST) == "running"
        give_room(cluster)
        guest.lab.check()
        result = guest.cli.move(GUEST, "--disk", OUT)
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout
        assert cluster("rbd", "ls", POOL) == ""
        guest.lab.check()


def test_a_pool_that_gets_full_in_mid_copy_costs_the_guest_that_time_and_the_move_goes_on(guest: World) -> None:
    """QEMU's mirror waits for the guest's writes in its main loop: nobody can end it before there is room."""
    with on_ceph(guest) as cluster:
        process = guest.cli.start("move", GUEST, "--disk", OUT, *SLOW, "--json")
        until(lambda: process.poll() is not None or copying(guest, ["vdb"]), "the copy has begun", 60)
        fill(cluster, "full")
        time.sleep(20)
        give_room(cluster)
        result = finished(process)
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout + result.stderr
        assert result.document["disks"][0]["verified"]
        guest.lab.check()


def test_a_disk_of_a_guest_that_is_off_is_refused_at_once_as_well(guest: World) -> None:
    """Who opens its image waits, for 30 s and more."""
    with on_ceph(guest) as cluster:
        guest.virsh("destroy", GUEST)
        try:
            fill(cluster, "full")
            time.sleep(10)
            began = time.monotonic()
            assert guest.cli.move(GUEST, "--disk", OUT).codes == ["source-full"]
            assert time.monotonic() - began < 20
        finally:
            give_room(cluster)
            guest.start_guest()
        guest.lab.check()
