"""The places that disks are moved to and from are real, and leave nothing behind: shown with plain virsh, so that a
test of svmove that fails is svmove's."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from lxml.builder import E

from svmove.lab.command import run
from svmove.lab.errors import LabError
from svmove.units import GiB, MiB
from tests.real.filesystems import small
from tests.real.pools import blocks, luks
from tests.real.pools.ceph import ceph, rbd_pool
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.pools.places import described, disk_xml, placed, put
from tests.real.world import GUEST, World

SIZE = GiB  # of the guest's vdb
THIN = 400 * MiB  # it has 256 MiB of data


def left(world: World) -> dict[str, Any]:
    """All that a place could leave on the machine."""
    names = ("tgtd", "ceph-mon", "ceph-mgr", "ceph-osd", "nbdkit", "qemu-nbd")
    processes = {pid.name for pid in Path("/proc").iterdir() if pid.name.isdecimal() and _serves(pid, names, world)}
    inside = Path(f"/proc/{world.lab.daemon.pid()}/mounts")
    loops = json.loads(run(["losetup", "--json", "--list"]) or "{}").get("loopdevices", [])
    return {
        "pools": set(world.virsh.names("pool-list", "--all")),
        "secrets": set(world.virsh("secret-list").split()),
        "mounts": [line for path in (Path("/proc/mounts"), inside) for line in _of(world, path.read_text())],
        "loops": _of(world, "\n".join(str(device["back-file"]) for device in loops)),
        "processes": processes,
        "files": world.files() - {world.path("vdb")},
    }


def _of(world: World, text: str) -> list[str]:
    return [line for line in text.splitlines() if str(world.folder) in line]


def _serves(pid: Path, names: tuple[str, ...], world: World) -> bool:
    try:
        argv = (pid / "cmdline").read_text().split("\0")
        ours = str(world.folder) in " ".join(argv) + (pid / "environ").read_text()
    except OSError:
        return False
    return ours and Path(argv[0]).name in names


@pytest.fixture
def clean(guest: World) -> Iterator[World]:
    """The guest with its vdb in a file; afterwards nothing of the place is left."""
    before, was = left(guest), guest.path("vdb")
    yield guest
    if was != guest.path("vdb"):  # of another suffix, after a test that named it otherwise; virsh leaves it there
        was.unlink()
    assert left(guest) == before


def goes_in_and_out(world: World, source: etree._Element, format_: str = "raw") -> None:
    with placed(world, "vdb", disk_xml(source, format_)) as disk:
        for found in (disk, described(world, "vdb", "--inactive")):
            where = found.find("source")
            assert where is not None
            names = ("protocol", "name", "dev", "file")
            assert {name: where.get(name) for name in names} == {name: source.get(name) for name in names}
        world.lab.check()
    world.lab.check()
    assert world.path("vdb").stat().st_blocks * 512 < THIN


def volumes(world: World, pool: str) -> list[str]:
    world.virsh("pool-refresh", pool)
    return [line.split()[0] for line in world.virsh("vol-list", pool).splitlines() if line.strip()]


def test_a_disk_goes_to_a_lun_and_back(clean: World) -> None:
    with iscsi(clean.network, clean.folder / "iscsi", [SIZE, 64 * MiB]) as target, iscsi_pool(clean, target) as secret:
        assert volumes(clean, "luns") == ["unit:0:0:0", "unit:0:0:1", "unit:0:0:2"]
        goes_in_and_out(clean, target.source(1, secret))
        assert target.luns[0].stat().st_blocks * 512 < THIN


def test_a_wrong_chap_password_is_refused(clean: World) -> None:
    with iscsi(clean.network, clean.folder / "iscsi", [SIZE], ("lab", "a-password-12")) as target:
        mistaken = replace(target, password=target.password[::-1])
        with pytest.raises(LabError, match="log in to target"), iscsi_pool(clean, mistaken):
            pass


def test_a_disk_goes_to_ceph_and_back(clean: World) -> None:
    with ceph(clean.network, clean.folder / "ceph") as cluster, rbd_pool(clean, cluster) as secret:
        clean.virsh("vol-create-as", "ceph", "disk", str(SIZE))
        assert volumes(clean, "ceph") == ["disk"]
        goes_in_and_out(clean, cluster.source("disk", secret))
        used = json.loads(cluster("rbd", "du", "vms/disk", "--format", "json"))["images"][0]["used_size"]
        assert 0 < used < THIN


def test_a_disk_goes_to_an_nbd_server_by_socket_and_by_port_and_back(clean: World) -> None:
    with nbd(clean.network, clean.folder / "nbd", SIZE, ("one", "two")) as server:
        with placed(clean, "vdb", disk_xml(server.source("one"))):
            clean.lab.check()
            goes_in_and_out(clean, server.source("two", tcp=True))
        for export in ("one", "two"):
            assert 0 < (server.folder / export).stat().st_blocks * 512 < THIN


def test_a_read_only_export_takes_no_disk(clean: World) -> None:
    with (
        nbd(clean.network, clean.folder / "nbd", SIZE, read_only=True) as server,
        pytest.raises(LabError, match="read-only"),
    ):
        put(clean, "vdb", disk_xml(server.source("disk")))


def test_a_disk_goes_to_a_block_device_and_back(clean: World) -> None:
    with blocks.block(clean.folder / "disk.img", SIZE) as device:
        goes_in_and_out(clean, blocks.source(device))


def test_a_block_device_that_is_larger_takes_a_disk_by_a_slice_alone(clean: World) -> None:
    with blocks.block(clean.folder / "disk.img", SIZE + 4096) as device:
        with pytest.raises(LabError):
            put(clean, "vdb", disk_xml(blocks.source(device)))
        goes_in_and_out(clean, blocks.source(device, SIZE))


def test_a_disk_goes_to_partitions_and_back(clean: World) -> None:
    with blocks.partitions(clean, 2 * SIZE, [SIZE]) as device:
        clean.virsh("vol-create-as", "parts", f"{Path(device).name}p2", str(SIZE))
        assert volumes(clean, "parts") == [f"{Path(device).name}p{number}" for number in (1, 2)]
        with placed(clean, "vdb", disk_xml(blocks.source(f"{device}p1"))):
            goes_in_and_out(clean, blocks.source(f"{device}p2"))


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "tmpfs"])
def test_a_disk_goes_to_a_file_system_and_back(clean: World, kind: str) -> None:
    with small(clean, "1500M", kind, kind) as pool:
        clean.virsh("vol-create-as", kind, "disk.img", str(SIZE), "--allocation", "0")
        assert volumes(clean, kind) == ["disk.img"]
        goes_in_and_out(clean, E.source(file=str(pool.folder / "disk.img")))


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_disk_goes_into_luks_and_back(clean: World, format_: str) -> None:
    with luks.passphrase(clean, "disk") as secret:
        path = luks.volume(clean, f"disk.{format_}", SIZE, secret, format_)
        try:
            goes_in_and_out(clean, luks.source(path, secret), format_)
        finally:
            clean.virsh("vol-delete", "--pool", "lab-a", path.name)


def test_what_a_test_that_fails_had_up_is_taken_down(clean: World) -> None:
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        target = stack.enter_context(iscsi(clean.network, clean.folder / "iscsi", [SIZE]))
        secret = stack.enter_context(iscsi_pool(clean, target))
        stack.enter_context(placed(clean, "vdb", disk_xml(target.source(1, secret))))
        raise ZeroDivisionError


def test_a_guest_whose_server_died_is_there_for_the_next_test(clean: World) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(nbd(clean.network, clean.folder / "nbd", SIZE))
        stack.enter_context(pytest.raises(LabError))
        with placed(clean, "vdb", disk_xml(server.source("disk"))):
            server.servers[0].kill()
            server.servers[0].wait()
    assert clean.virsh("domstate", GUEST) == "running"
    clean.lab.check()
