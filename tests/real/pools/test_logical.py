"""Volume groups: sizes that are not theirs, what lay on their disk before, LUKS, thin volumes, and moves that don't
end."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from svmove.lab.command import run
from svmove.units import MiB
from svmove.volumes import LUKS_HEADER
from tests.real.cli import finished
from tests.real.pools import luks
from tests.real.pools.groups import Group, group
from tests.real.world import World, disk, until

pytestmark = [pytest.mark.kernel, pytest.mark.chosen]

EXTENT = 4 * MiB
SIZE = 42 * MiB + 512  # of no whole extents
NAME = "small"
ROOM = 384 * MiB  # with what the policy keeps free
OLD = b"\xa5" * 4096  # what is on the group's disk before


@pytest.fixture
def made(world: World) -> Iterator[Group]:
    with group(world, ROOM, old=OLD) as found:
        yield found


def guest(world: World, *, running: bool, size: int = SIZE) -> bytes:
    """One with 12 MiB of data, a hole, and something at its end; what is in its disk."""
    path = world.image(f"{NAME}.img", str(size), "raw")
    with path.open("r+b") as file:
        file.write(os.urandom(12 * MiB))
        file.seek(size - 4096)
        file.write(os.urandom(4096))
    world.guest(NAME, disk(path, format_="raw"), start=running)
    return path.read_bytes()


def slices(world: World, *options: str) -> list[str]:
    described = etree.fromstring(world.virsh("dumpxml", NAME, *options).encode())
    return [element.get("size", "") for element in described.iterfind("devices/disk/source/slices/slice")]


@pytest.mark.parametrize("running", [True, False], ids=["running", "off"])
def test_a_disk_of_no_whole_extents_has_its_size_by_a_slice_and_nothing_old_is_left(
    world: World, made: Group, running: bool
) -> None:
    before = guest(world, running=running)
    result = world.cli.move(NAME, "--disk", f"vda={made.name},name={NAME}")
    assert result.code == 0, result.stdout + result.stderr
    assert result.document["disks"][0]["verified"] is True
    assert "slice" in {finding["code"] for finding in result.document["findings"]}
    assert made.volumes == {NAME: 11 * EXTENT}
    assert slices(world, "--inactive") == [str(SIZE)]
    there = made.path(NAME).read_bytes()
    assert there[:SIZE] == before
    assert there[SIZE:] == bytes(11 * EXTENT - SIZE), "the rest of its last extent is zeroed"
    assert not (world.lab.paths.pool("lab-a") / f"{NAME}.img").exists()

    result = world.cli.move(NAME, "--disk", f"vda=lab-b,name={NAME}.img")
    assert result.code == 0, result.stdout + result.stderr
    assert (world.lab.paths.pool("lab-b") / f"{NAME}.img").read_bytes() == before
    assert slices(world, "--inactive") == []
    assert made.volumes == {}


@pytest.mark.parametrize("running", [True, False], ids=["running", "off"])
def test_a_disk_goes_into_luks_in_a_group_and_out_again(world: World, made: Group, running: bool) -> None:
    with luks.passphrase(world, "group") as uuid:
        before = guest(world, running=running)
        result = world.cli.move(NAME, "--disk", f"vda={made.name},name={NAME}", "--encrypt", uuid)
        assert result.code == 0, result.stdout + result.stderr
        assert result.document["disks"][0]["verified"] is True
        assert slices(world, "--inactive") == [str(SIZE + LUKS_HEADER)]
        there = made.path(NAME).read_bytes()
        assert there[:6] == b"LUKS\xba\xbe"
        assert before[: 64 * 1024] not in there
        assert OLD not in there
        assert there[SIZE + LUKS_HEADER :] == bytes(len(there) - SIZE - LUKS_HEADER), "behind it are zeroes"
        if running:
            world.virsh("destroy", NAME)
        world.virsh("start", NAME)  # QEMU opens it anew, by its header
        if not running:
            world.virsh("destroy", NAME)
        result = world.cli.move(NAME, "--disk", f"vda=lab-b,name={NAME}.img", "--decrypt")
        assert result.code == 0, result.stdout + result.stderr
        assert (world.lab.paths.pool("lab-b") / f"{NAME}.img").read_bytes() == before
        assert made.volumes == {}


def test_extents_that_had_a_file_system_become_a_volume_all_the_same(world: World, made: Group) -> None:
    run(["lvcreate", "--yes", "--quiet", "--size", "64m", "--name", "earlier", made.name])
    run(["mkfs.ext4", "-q", made.path("earlier")])
    run(["lvremove", "--yes", "--quiet", f"{made.name}/earlier"])
    world.virsh("pool-refresh", made.name)
    before = guest(world, running=True, size=11 * EXTENT)
    result = world.cli.move(NAME, "--disk", f"vda={made.name},name={NAME}")
    assert result.code == 0, result.stdout + result.stderr
    assert "slice" not in {finding["code"] for finding in result.document["findings"]}
    assert made.path(NAME).read_bytes() == before
    assert slices(world) == []


def test_a_move_that_is_cancelled_leaves_no_volume(world: World, made: Group) -> None:
    guest(world, running=True)
    # A minute: where the machine is slow, one of 16 s was over before `cancel` was there.
    slow = ("--bandwidth", "256KiB/s", "--json")
    process = world.cli.start("move", NAME, "--disk", f"vda={made.name},name={NAME}", *slow)
    until(lambda: NAME in made.volumes, "the volume is made", 60)
    until(lambda: world.domain(NAME).live[0].mirror is not None, "the copy runs", 60)
    assert world.cli("cancel", world.domain(NAME).marker or "").code == 0
    assert finished(process).document["state"] == "rolled-back"
    assert made.volumes == {}


def test_a_name_that_lvm_can_not_have_is_refused(world: World, made: Group) -> None:
    guest(world, running=True)
    for name in ("small disk", "snapshot1", "-x", "web_tmeta"):
        refused = world.cli.move(NAME, "--disk", f"vda={made.name},name={name}")
        assert (refused.code, refused.codes) == (3, ["bad-name"])


def test_a_group_without_the_room_is_refused(world: World, made: Group) -> None:
    run(["lvcreate", "--yes", "--quiet", "--size", "368m", "--name", "other", made.name])
    world.virsh("pool-refresh", made.name)
    guest(world, running=True)
    refused = world.cli.move(NAME, "--disk", f"vda={made.name},name={NAME}")
    assert (refused.code, refused.codes) == (3, ["no-space"])


def test_a_thin_volume_is_taken_by_name_and_told_to_take_all_its_room(world: World) -> None:
    """dm-thin knows no WRITE ZEROES, so what QEMU zeroes there before its copy takes room as data does."""
    with group(world, 16 * MiB, thin=96 * MiB, old=OLD) as made:
        made.thin(NAME, 64 * MiB)
        made.path(NAME).write_bytes(OLD * (8 * MiB // len(OLD)))  # somebody's
        before = guest(world, running=True)
        where = f"vda={made.name},name={NAME}"
        refused = world.cli.move(NAME, "--disk", where)
        assert (refused.code, refused.codes) == (3, ["not-blank"])
        result = world.cli.move(NAME, "--disk", where, "--overwrite")
        assert result.code == 0, result.stdout + result.stderr
        assert "thinness" in {finding["code"] for finding in result.document["findings"]}
        with made.path(NAME).open("rb") as device:
            assert device.read(SIZE) == before
        assert made.written(NAME) == round(100 * SIZE / (64 * MiB))
        result = world.cli.move(NAME, "--disk", f"vda=lab-b,name={NAME}.img")
        assert result.code == 0, result.stdout + result.stderr
        assert list(made.volumes) == [NAME], "libvirt does not know of it, and so it stays"
        assert (world.lab.paths.pool("lab-b") / f"{NAME}.img").read_bytes() == before


def test_a_volume_that_another_guest_has_is_not_taken(world: World, made: Group) -> None:
    guest(world, running=True)
    assert world.cli.move(NAME, "--disk", f"vda={made.name},name={NAME}").code == 0
    other = world.image("other.img", str(SIZE), "raw")
    world.guest("other", disk(other, format_="raw"))
    refused = world.cli.move("other", "--disk", f"vda={made.name},name={NAME}", "--overwrite")
    assert (refused.code, refused.codes) == (3, ["used-elsewhere"])
    assert world.cli.move(NAME, "--disk", f"vda=lab-a,name={NAME}.img").code == 0
    assert re.fullmatch(r".*/small\.img", str(Path(world.path("vda", NAME))))
