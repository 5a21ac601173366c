"""Destinations that are wrong, or go away: the cause is named, the guest stays on its source, nothing is left."""

from collections.abc import Callable

import pytest
from lxml.builder import E

from svmove.outcomes import Outcome, State
from svmove.requests import DiskRequest, Request
from tests.real.faults.points import Once, Point, watched
from tests.real.faults.test_kills import kill_at
from tests.real.filesystems import small
from tests.real.pools import places
from tests.real.pools.ceph import POOL, ceph, rbd_pool
from tests.real.pools.iscsi import Iscsi, iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.pools.secrets import missing, set_value
from tests.real.world import GUEST, World

GIB = 1 << 30
LUN = "vdb=luns,name=unit:0:0:"


class Source:
    """Where vdb is, and all that a move which does not come to its end must leave as it was."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.path = world.path("vdb")
        self._before = world.state(GUEST)

    def untouched(self) -> None:
        files, elements, live = self._world.state(GUEST)
        assert (set(files), elements, live) == (set(self._before[0]), *self._before[1:])


def refused(world: World, disk: str, code: str, *says: str) -> None:
    """Without any change, with that finding."""
    source = Source(world)
    result = world.cli.move(GUEST, "--disk", disk)
    assert result.code == 3, result.stdout + result.stderr
    texts = [f["text"] for f in result.document["findings"] if f["code"] == code]
    assert texts, result.stdout
    assert all(word in texts[0] for word in says), texts
    source.untouched()


def moved(world: World, disk: DiskRequest, point: Point, act: Callable[[], object]) -> Outcome:
    """With that happening at that point."""
    once = Once(point, lambda: (act(), None)[1])
    outcome = watched(world, once).move(
        Request(domain=GUEST, to=None, disks=(disk,), bandwidth=150 << 20, overwrite=True)
    )
    assert once.happened
    return outcome


def home(world: World) -> None:
    result = world.cli.move(GUEST, "--disk", f"vdb={places.HOME},name={GUEST}-vdb.img")
    assert result.code == 0, result.stdout + result.stderr


@pytest.mark.chosen
def test_what_is_no_export_is_refused_with_the_reason(guest: World) -> None:
    world = guest
    refused(world, "vdb=http://127.0.0.1/x", "bad-uri", "http: not one of")
    refused(world, "vdb=nbd:///x", "bad-uri", "neither a server nor a socket")
    refused(world, "vdb=nbd://127.0.0.1:1/x", "cannot-open", "Connection refused")
    for words in (["--disk", "vdb=nbd://me:hunter2@127.0.0.1/x"], ["--disk", "vdb=nbd://me:hunter2@127.0.0.1,x=y/x"]):
        result = world.cli.move(GUEST, *words)
        assert result.code in (2, 3)
        assert "hunter2" not in result.stdout + result.stderr
    with nbd(world.network, world.folder / "nbd", GIB, read_only=True) as server:
        refused(world, f"vdb={server.uri('disk')}", "volume-read-only", "can't be written to")
        refused(world, f"vdb={server.uri('another')}", "no-such-volume", "another")


@pytest.mark.chosen
def test_a_pool_whose_file_system_takes_no_direct_io_is_refused_to_a_disk_that_needs_it(guest: World) -> None:
    with small(guest, "0", name="in-memory", kind="ramfs"):
        refused(guest, "vdb=in-memory", "no-direct", "past the page cache", "in-memory")


@pytest.mark.chosen
def test_a_lun_that_does_not_suit_is_refused_and_a_larger_one_is_sliced(guest: World) -> None:
    world = guest
    with (
        iscsi(world.network, world.folder / "iscsi", [GIB, GIB // 2, 2 * GIB, GIB]) as target,
        iscsi_pool(world, target) as secret,
    ):
        with target.luns[3].open("r+b") as file:
            file.write(b"somebody's")
        refused(world, "vdb=luns", "choose-volume", "one that is there is taken")
        refused(world, f"{LUN}0", "no-such-volume")
        refused(world, "vdb=luns,name=web", "no-such-volume")
        refused(world, f"{LUN}2", "volume-too-small", "(1073741824 bytes)", "(536870912)")
        refused(world, f"{LUN}4", "not-blank", "something in it")
        _used_by_another(world, target, secret)
        result = world.cli.move(GUEST, "--disk", f"{LUN}3")
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout
        (live,) = (disk for disk in world.domain().live if disk.target == "vdb")
        assert world.host.trouble(live.path or "", 5.0) is None
        assert places.capacity(world, "vdb") == GIB
        assert places.described(world, "vdb").find("source/slices") is not None
        home(world)
        assert places.capacity(world, "vdb") == GIB
        assert places.described(world, "vdb").find(".//slices") is None
        _wrong_password(world, target, secret)
        with missing(world, secret, target.password.encode()):
            refused(world, f"{LUN}1", "secret-missing", secret)


def _used_by_another(world: World, target: Iscsi, secret: str) -> None:
    driver = E.driver(name="qemu", type="raw")
    attached = E.disk(
        driver, target.source(1, secret), E.target(dev="vda", bus="virtio"), type="network", device="disk"
    )
    world.guest("other", attached, start=False)
    refused(world, f"{LUN}1", "used-elsewhere", "domain other")
    world.virsh("undefine", "other")


def _wrong_password(world: World, target: Iscsi, secret: str) -> None:
    set_value(world, secret, b"another-password")
    refused(world, f"{LUN}1", "pool-inactive", "luns is not active: ")
    set_value(world, secret, target.password.encode())
    world.virsh("pool-start", "luns")


@pytest.mark.parametrize("point", [Point.COPYING, Point.READY])
def test_an_export_whose_server_is_killed_is_given_up(guest: World, point: Point) -> None:
    with nbd(guest.network, guest.folder / "nbd", GIB) as server:
        source = Source(guest)
        outcome = moved(guest, DiskRequest(target="vdb", pool=server.uri("disk")), point, server.servers[0].kill)
        assert outcome.state is State.ROLLED_BACK, outcome
        assert outcome.error is not None
        # Of a copy that is ready: who sees it first, a write of the guest's or the pivot.
        assert outcome.error.code in ("copy-failed", "pivot-failed")[: 1 if point is Point.COPYING else 2]
        assert str(server.socket) in outcome.error.text
        assert "Input/output error" in outcome.error.text
        assert "overwritten" in [finding.code for finding in outcome.findings]
        assert outcome.disks[0].overwritten
        source.untouched()
    # Nor has QEMU kept anything: the disk can be moved again.
    assert guest.cli.move(GUEST, "--disk", "vdb=lab-b").code == 0
    home(guest)


def test_a_move_to_a_lun_whose_svmove_was_killed_is_cancelled_or_resumed(guest: World) -> None:
    with iscsi(guest.network, guest.folder / "iscsi", [GIB]) as target, iscsi_pool(guest, target):
        words = ("move", GUEST, "--disk", f"{LUN}1", "--bandwidth", "100MiB/s", "--overwrite")
        source = Source(guest)
        kill_at(guest, "job", 3, "after", *words)
        assert guest.cli("cancel", guest.domain().marker or "").code == 0
        source.untouched()
        kill_at(guest, "job", 3, "after", *words)
        assert guest.cli("resume").code == 0
        home(guest)


def test_a_move_to_ceph_whose_svmove_was_killed_is_cancelled_or_resumed(guest: World) -> None:
    with ceph(guest.network, guest.folder / "ceph", 3 * GIB) as cluster, rbd_pool(guest, cluster) as secret:
        cluster("rbd", "create", f"{POOL}/theirs", "--size", "1G")
        refused(guest, "vdb=ceph,name=theirs", "name-taken", "'theirs' already")
        words = ("move", GUEST, "--disk", "vdb=ceph", "--bandwidth", "100MiB/s")
        source = Source(guest)
        kill_at(guest, "job", 3, "after", *words)
        assert guest.cli("cancel", guest.domain().marker or "").code == 0
        source.untouched()
        assert cluster("rbd", "ls", POOL) == "theirs"
        kill_at(guest, "job", 3, "after", *words)
        assert guest.cli("resume").code == 0
        home(guest)
        assert cluster("rbd", "ls", POOL) == "theirs"
        set_value(guest, secret, bytes(len(cluster.key)))
        refused(guest, "vdb=ceph", "pool-inactive", "ceph is not active: ")
