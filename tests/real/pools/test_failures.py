"""Storage on the network that fails in the middle: the cause is named, the guest goes on, it ends in bounded time."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from svmove.lab.command import run
from svmove.lab.errors import LabError
from svmove.outcomes import GuestOn, Outcome, State
from svmove.policy import ConvergePolicy, MovePolicy, Policy
from svmove.requests import DiskRequest, Request
from svmove.units import GiB, MiB
from tests.real.cli import finished
from tests.real.faults.points import Once, Point, watched
from tests.real.filesystems import small
from tests.real.pools import places
from tests.real.pools.ceph import POOL, ceph, rbd_pool
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.pools.test_bad_input import LUN, Source, refused
from tests.real.world import GUEST, World, copying, disk, until

# As short as storages of a machine that is busy with other tests allow.
POLICY = Policy(move=MovePolicy(answer_wait=10.0, cancel_wait=10.0), converge=ConvergePolicy(standstill=5.0))
WORDS = '[move]\nanswer_wait = "10s"\ncancel_wait = "10s"\n[converge]\nstandstill = "5s"\n'
# Slow enough that there is a midst.
SLOW = ("--bandwidth", "20MiB/s")


@pytest.fixture
def lasting(guest: World) -> Iterator[World]:
    """The guest; of a test that failed in the middle it would have its copy for ever, and so would each test's after
    it."""
    yield guest
    try:
        busy = bool(jobs(guest))
    except LabError:  # QEMU waits for a storage that is gone
        busy = True
    if busy:
        guest.virsh("destroy", GUEST)
        with suppress(LabError):  # it lies there: then it has started anew from its file at home
            guest.start_guest()
            return
        places.home(guest, "vdb")


def moved(world: World, asked: DiskRequest, point: Point, act: Callable[[], object]) -> Outcome:
    """With that happening at that point."""
    once = Once(point, lambda: (act(), None)[1])
    outcome = watched(world, once, policy=POLICY).move(
        Request(domain=GUEST, to=None, disks=(asked,), bandwidth=150 << 20, overwrite=True)
    )
    assert once.happened
    return outcome


def in_mid_copy(world: World, to: str, act: Callable[[], object], *words: str) -> tuple[int, dict[str, Any], float]:
    """Exit code, document, and the seconds from then on."""
    policy = world.folder / "policy.toml"
    policy.write_text(WORDS)
    argv = ("--policy", str(policy), "move", GUEST, "--disk", to, "--overwrite", *SLOW, "--json", *words)
    process = world.cli.start(*argv)
    until(lambda: process.poll() is not None or copying(world, ["vdb"]), "the copy has begun")
    time.sleep(1)
    act()
    began = time.monotonic()
    result = finished(process)
    assert result.stdout, result.stderr
    return result.code, result.document, time.monotonic() - began


def jobs(world: World) -> list[Any]:
    found: list[Any] = json.loads(world.virsh("qemu-monitor-command", GUEST, '{"execute": "query-block-jobs"}'))[
        "return"
    ]
    return found


def held(document: dict[str, Any], code: str, *says: str, on: str = "source") -> str:
    assert (document["state"], document["error"]["code"]) == ("held", code), document
    assert document["error"]["guest_on"] == on, document
    for word in says:
        assert word in document["error"]["text"], document["error"]["text"]
    return str(document["move"])


def back(world: World, move: str) -> None:
    until(lambda: not jobs(world), "QEMU's copy has ended", 60)
    result = world.cli("rollback", move, "--yes", "--json")
    assert result.document["state"] == "rolled-back", result.stdout + result.stderr


@pytest.mark.chosen
def test_the_key_in_the_old_name_of_a_ceph_image_is_told_nowhere(world: World) -> None:
    """QEMU repeats it in whatever it says of an image, and keeps it in the headers of those above it."""
    key, top = "AQBWk1VnAAAAABAAc2VjcmV0cw==", world.image("top.qcow2", "8M")
    name = f"rbd:vms/web:id=libvirt:key={key}:mon_host=127.0.0.1\\:1:client_mount_timeout=1"
    run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", name, top, "8M"])
    told = subprocess.run(["qemu-img", "info", "--backing-chain", top], capture_output=True, text=True, check=False)
    assert key in told.stdout + told.stderr
    world.guest("other", disk(top), start=False)
    for words in (("plan",), ("move",), ("move", "--flatten"), ("move", "--method", "offline", "--base", "stay")):
        for more in ((), ("--json",)):
            result = world.cli("--verbose", words[0], "other", "--to", "lab-b", *words[1:], *more)
            assert key not in result.stdout + result.stderr
    assert key not in world.cli("disks", "other").stdout
    journal = world.cli.journal
    assert not any(key.encode() in path.read_bytes() for path in journal.parent.glob(f"{journal.name}*"))


@pytest.mark.parametrize("cause", ["quota", "full"])
def test_a_ceph_pool_that_is_full_in_mid_copy_is_told_and_held_until_there_is_room(lasting: World, cause: str) -> None:
    """librbd lets the writes wait for ever, and nobody hears of an error."""
    world = lasting
    with ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster, rbd_pool(world, cluster):
        source = Source(world)

        def fill() -> None:
            if cause == "quota":
                cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", str(MiB))
            else:
                for ratio in ("nearfull", "backfillfull", "full"):
                    cluster("ceph", "osd", f"set-{ratio}-ratio", "0.05")

        code, document, seconds = in_mid_copy(world, "vdb=ceph", fill, "--bandwidth", "5MiB/s")
        assert code == 5
        move = held(document, "cancel-failed", "full, or over its quota", "the copy can't be cancelled")
        assert seconds < 75
        world.lab.check()
        if cause == "quota":
            cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", "0")
        else:
            for ratio in ("full", "backfillfull", "nearfull"):
                cluster("ceph", "osd", f"set-{ratio}-ratio", "0.95")
        back(world, move)
        source.untouched()
        assert cluster("rbd", "ls", POOL) == ""


def test_a_ceph_pool_whose_quota_is_too_small_is_refused_before_the_start(lasting: World) -> None:
    """libvirt tells what the cluster has free, and of no quota."""
    world = lasting
    with ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster, rbd_pool(world, cluster):
        cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", str(100 * MiB))
        refused(world, "vdb=ceph", "no-space", "100.0 MiB available")
        cluster("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", "0")
        for ratio in ("nearfull", "backfillfull", "full"):
            cluster("ceph", "osd", f"set-{ratio}-ratio", "0.05")

        def left() -> int:
            found = json.loads(cluster("ceph", "df", "--format", "json"))["pools"]
            return sum(int(pool["stats"]["max_avail"]) for pool in found if pool["name"] == POOL)

        until(lambda: left() == 0, "Ceph has counted what is left", 60)
        refused(world, "vdb=ceph", "no-space", " 0 B available")


def test_a_lun_whose_server_is_killed_in_mid_copy_is_told_and_held_until_it_is_back(lasting: World) -> None:
    """libiscsi connects anew for ever."""
    with iscsi(lasting.network, lasting.folder / "iscsi", [GiB]) as target, iscsi_pool(lasting, target):
        source = Source(lasting)
        _, document, seconds = in_mid_copy(lasting, f"{LUN}1", target.server.kill)
        move = held(document, "cancel-failed", "Failed to connect", "the copy can't be cancelled")
        assert seconds < 75
        lasting.lab.check()
        target.server.wait()
        with target.again():
            back(lasting, move)
            source.untouched()


def test_a_lun_whose_server_comes_back_in_time_goes_on(lasting: World) -> None:
    with iscsi(lasting.network, lasting.folder / "iscsi", [GiB]) as target, iscsi_pool(lasting, target):

        def pause() -> None:
            target.server.send_signal(signal.SIGSTOP)
            time.sleep(8)
            target.server.send_signal(signal.SIGCONT)

        code, document, _ = in_mid_copy(lasting, f"{LUN}1", pause)
        assert (code, document["state"]) == (0, "done"), document
        places.home(lasting, "vdb")


@contextmanager
def lun(world: World, folder: Path | None = None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with iscsi(world.network, (folder or world.folder) / "iscsi", [GiB]) as target, iscsi_pool(world, target):
        yield f"{LUN}1", target.server


@contextmanager
def export(world: World, folder: Path | None = None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with nbd(world.network, (folder or world.folder) / "nbd", GiB) as server:
        yield f"vdb={server.uri('disk')}", server.servers[0]


@pytest.mark.parametrize("place", [lun, export])
def test_a_cancel_of_a_copy_that_hangs_is_answered_in_time_and_ended_when_it_is_back(
    lasting: World, place: Callable[[World], AbstractContextManager[tuple[str, "subprocess.Popen[bytes]"]]]
) -> None:
    with place(lasting) as (to, server):
        source = Source(lasting)

        def cancel() -> None:
            server.send_signal(signal.SIGSTOP)
            time.sleep(1)
            began = time.monotonic()
            result = lasting.cli("cancel", lasting.domain().marker or "", "--json")
            assert time.monotonic() - began < 40
            held(result.document, "cancel-failed", "does not answer (no answer in 5 s)", "cancelled by svmove cancel")
            assert result.document["disks"][0]["overwritten"]

        _, document, _ = in_mid_copy(lasting, to, cancel)
        move = held(document, "cancel-failed")
        lasting.lab.check()
        server.send_signal(signal.SIGCONT)
        back(lasting, move)
        source.untouched()


@pytest.mark.parametrize(("place", "says"), [(lun, "Input/output error"), (export, "No space left on device")])
def test_a_thin_storage_that_has_less_than_it_says_is_told(
    lasting: World, place: Callable[..., Any], says: str
) -> None:
    """A LUN, and an export, of 1 GiB on a file system of 100 MiB."""
    with small(lasting, "100M", "thin", "tmpfs") as pool, place(lasting, pool.folder) as (to, _):
        source = Source(lasting)
        code, document, seconds = in_mid_copy(lasting, to, lambda: None)
        assert (code, document["state"]) == (4, "rolled-back"), document
        assert document["error"]["code"] in ("no-space", "copy-failed")
        assert says in document["error"]["text"]
        assert seconds < 30
        assert document["disks"][0]["overwritten"]
        source.untouched()


def unverified(outcome: Outcome, *says: str) -> str:
    assert outcome.state is State.HELD, outcome
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.guest_on) == ("unverified", GuestOn.DESTINATION), outcome
    for word in says:
        assert word in outcome.error.text, outcome.error.text
    return outcome.move or ""


def test_an_export_whose_server_is_killed_during_the_verification_is_held(lasting: World) -> None:
    world = lasting
    with nbd(world.network, world.folder / "nbd", GiB) as server:
        source = Source(world)
        asked = DiskRequest(target="vdb", pool=server.uri("disk"))
        move = unverified(moved(world, asked, Point.VERIFYING, server.servers[0].kill), str(server.socket), "refused")
        assert source.path.exists()
        # The guest has lost its disk: QEMU does not connect anew. It is brought back to what it had at the cutover.
        world.virsh("destroy", GUEST)
        domain = world.domain()
        world.hypervisor.set_sources(domain.uuid, {"vdb": (str(source.path), "raw")}, running=False)
        world.start_guest()
        back(world, move)
        source.untouched()


def test_a_lun_whose_server_is_killed_during_the_verification_is_held_and_goes_back(lasting: World) -> None:
    with iscsi(lasting.network, lasting.folder / "iscsi", [GiB]) as target, iscsi_pool(lasting, target):
        began = time.monotonic()
        asked = DiskRequest(target="vdb", pool="luns", name="unit:0:0:1")
        move = unverified(moved(lasting, asked, Point.VERIFYING, target.server.kill), "Failed to connect")
        assert time.monotonic() - began < 120
        until(lambda: lasting.virsh("domstate", GUEST) == "running", "libvirt answers")
        result = lasting.cli("rollback", move, "--yes")
        assert result.code == 3
        assert "does not answer" in result.stderr
        target.server.wait()
        with target.again():
            goes_back(lasting, move)


def test_a_ceph_that_hangs_during_the_verification_is_held_and_goes_back(lasting: World) -> None:
    with ceph(lasting.network, lasting.folder / "ceph", 3 * GiB) as cluster, rbd_pool(lasting, cluster):
        osd, began = cluster.daemons["osd"], time.monotonic()
        asked = DiskRequest(target="vdb", pool="ceph")
        outcome = moved(lasting, asked, Point.VERIFYING, lambda: osd.send_signal(signal.SIGSTOP))
        move = unverified(outcome, "does not answer (no answer in 5 s)")
        assert time.monotonic() - began < 150
        osd.send_signal(signal.SIGCONT)
        cluster("rbd", "ls", POOL)  # it takes seconds until its monitor believes that it is back
        goes_back(lasting, move)
        assert cluster("rbd", "ls", POOL) == ""


def test_a_ceph_that_hangs_in_mid_copy_does_not_hang_the_guest(lasting: World) -> None:
    """QEMU, asked which images it has open, would read from it in its main loop."""
    with ceph(lasting.network, lasting.folder / "ceph", 3 * GiB) as cluster, rbd_pool(lasting, cluster):
        osd, source = cluster.daemons["osd"], Source(lasting)
        code, document, seconds = in_mid_copy(lasting, "vdb=ceph", lambda: osd.send_signal(signal.SIGSTOP))
        assert code == 5
        move = held(document, "cancel-failed", "does not answer (no answer in 5 s)", "nothing was copied to rbd://")
        assert seconds < 100
        lasting.lab.check()
        result = lasting.cli("rollback", move, "--yes")
        assert (result.code, "does not answer" in result.stderr) == (3, True), result.stderr
        lasting.lab.check()
        osd.send_signal(signal.SIGCONT)
        cluster("rbd", "ls", POOL)
        back(lasting, move)
        source.untouched()
        assert cluster("rbd", "ls", POOL) == ""


def goes_back(world: World, move: str) -> None:
    """Live: the guest runs on its destination, which answers again; on a busy machine after seconds."""
    for _ in range(4):
        result = world.cli("rollback", move, "--yes", "--json")
        if "does not answer" not in result.stdout:
            break
        time.sleep(5)
    assert result.document["state"] == "done", result.stdout + result.stderr
    world.lab.check()


def test_a_ceph_whose_monitor_is_down_is_refused_and_in_mid_copy_told(lasting: World) -> None:
    world = lasting
    with ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster, rbd_pool(world, cluster):
        monitor, source = cluster.daemons["mon"], Source(world)
        _, document, seconds = in_mid_copy(world, "vdb=ceph", lambda: monitor.send_signal(signal.SIGSTOP))
        move = held(document, "storage-silent", "does not answer (no answer in 5 s)", "did not answer in 30 s")
        assert seconds < 150
        monitor.send_signal(signal.SIGCONT)
        until(lambda: "up" in cluster("ceph", "osd", "stat"), "the monitor answers", 60)
        back(world, move)
        source.untouched()
        monitor.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        refused(world, "vdb=ceph", "pool-inactive", "failed to connect")
        assert time.monotonic() - began < 90
        monitor.send_signal(signal.SIGCONT)
        until(lambda: "up" in cluster("ceph", "osd", "stat"), "the monitor answers", 60)
