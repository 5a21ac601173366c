"""CD-ROM and floppy drives of a real guest: what is in them moves by a change of the medium."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from svmove.host.command import run
from svmove.journal import Journal, Kind
from svmove.model import DomainState
from tests.real.cli import finished
from tests.real.files import NAME, FilesGuest, files_guest
from tests.real.world import World, disk, until


def iso(world: World, name: str = "cd.iso", *, pool: str = "lab-a", pattern: int = 5) -> Path:
    path = world.image(name, "2M", "raw", pool=pool)
    run(["qemu-io", "-f", "raw", "-c", f"write -P {pattern} 64k 1M", str(path)])
    return path


def drives(world: World, name: str) -> dict[str, str | None]:
    """Target → path, live, if it runs, and for the next start alike."""
    domain = world.domain(name)
    inactive = {disk.target: disk.path for disk in domain.inactive}
    assert not domain.live or inactive == {disk.target: disk.path for disk in domain.live}
    return inactive


def test_a_medium_moves_with_its_guest_an_empty_drive_and_a_writable_floppy_stay(world: World) -> None:
    cd, floppy = iso(world), world.image("fd.img", "1440K", "raw")
    read_only = world.image("ro.img", "1440K", "raw")
    world.guest(
        "drives",
        disk(world.image("drives.qcow2")),
        disk(cd, "sda", "raw", device="cdrom", bus="sata"),
        disk(cd, "hdc", "raw", device="cdrom", bus="ide"),
        disk(None, "sdb", "raw", device="cdrom", bus="sata"),
        disk(floppy, "fda", "raw", device="floppy", bus="fdc"),
        disk(read_only, "fdb", "raw", device="floppy", bus="fdc", readonly=""),
    )
    before = world.elements("drives"), world.elements("drives", "--inactive")

    result = world.cli.move("drives", "--to", "lab-b")

    to = world.lab.paths.pool("lab-b")
    assert result.code == 0, result.stdout
    assert drives(world, "drives") == {
        "vda": str(to / "drives.qcow2"),
        "sda": str(to / "cd.iso"),
        "hdc": str(to / "cd.iso"),
        "sdb": None,
        "fda": str(floppy),
        "fdb": str(to / "ro.img"),
    }
    assert (world.elements("drives"), world.elements("drives", "--inactive")) == before
    assert {(m["target"], m["on"], m["found"]) for m in result.document["media"]} == {
        ("sda", "destination", False),
        ("hdc", "destination", True),  # the other drive's copy
        ("fdb", "destination", False),
    }
    assert {(f["level"], f["code"], f["target"]) for f in result.document["findings"]} == {
        ("note", "cdrom", "sdb"),
        ("note", "floppy", "fda"),
    }
    assert cd.read_bytes() == (to / "cd.iso").read_bytes()  # and is kept
    assert world.cli.move("drives", "--to", "lab-b").document["state"] == "already-there"
    assert world.cli.move("drives", "--to", "lab-b", "--disk", "sdb").codes == ["cdrom"]
    assert world.cli.move("drives", "--to", "lab-b", "--disk", "fda").codes == ["floppy"]


def test_a_medium_that_is_named_moves_alone_to_an_equal_image_and_never_to_another_one(world: World) -> None:
    cd = iso(world)
    world.guest("alone", disk(world.image("alone.qcow2")), disk(cd, "sda", "raw", device="cdrom", bus="sata"))
    other = iso(world, pool="lab-b", pattern=6)

    result = world.cli.move("alone", "--to", "lab-b", "--disk", "sda")

    assert (result.code, drives(world, "alone")["sda"]) == (0, str(cd))
    assert [finding["code"] for finding in result.document["findings"]] == ["medium-stays"]
    other.write_bytes(cd.read_bytes())

    result = world.cli.move("alone", "--to", "lab-b", "--disk", "sda")

    assert (result.code, drives(world, "alone")["sda"]) == (0, str(other)), result.stdout
    assert (result.document["media"][0]["found"], result.document["findings"]) == (True, [])
    assert world.domain("alone").marker is None
    assert world.where("alone")["vda"] == "lab-a"


def test_media_move_with_a_guest_that_is_off_and_alone(world: World) -> None:
    cd, floppy = iso(world), world.image("fd.img", "1440K", "raw")
    read_only = world.image("ro.img", "1440K", "raw")
    world.guest(
        "off",
        disk(world.image("off.qcow2")),
        disk(cd, "sda", "raw", device="cdrom", bus="sata"),
        disk(cd, "hdc", "raw", device="cdrom", bus="ide"),
        disk(None, "sdb", "raw", device="cdrom", bus="sata"),
        disk(floppy, "fda", "raw", device="floppy", bus="fdc"),
        disk(read_only, "fdb", "raw", device="floppy", bus="fdc", readonly=""),
        start=False,
    )
    before = world.elements("off", "--inactive")

    result = world.cli.move("off", "--to", "lab-b")

    to = world.lab.paths.pool("lab-b")
    assert (result.code, result.document["method"], result.document["state"]) == (0, "offline", "done"), result.stdout
    there = {"sda": str(to / "cd.iso"), "hdc": str(to / "cd.iso"), "fdb": str(to / "ro.img")}
    stay = {"sdb": None, "fda": str(floppy)}
    assert drives(world, "off") == {"vda": str(to / "off.qcow2"), **there, **stay}
    assert world.elements("off", "--inactive") == before
    assert {m["target"]: (m["on"], m["found"]) for m in result.document["media"]} == {
        "sda": ("destination", False),
        "hdc": ("destination", True),
        "fdb": ("destination", False),
    }
    assert {(f["code"], f["target"]) for f in result.document["findings"]} == {("cdrom", "sdb"), ("floppy", "fda")}
    assert cd.read_bytes() == (to / "cd.iso").read_bytes()
    assert world.domain("off").state is DomainState.OFF

    back = world.cli.move("off", "--to", "lab-a", "--disk", "sda", "--disk", "fdb")

    assert (back.code, back.document["state"]) == (0, "done"), back.stdout
    assert [(m["target"], m["on"], m["found"]) for m in back.document["media"]] == [
        ("sda", "destination", True),
        ("fdb", "destination", True),
    ]
    assert world.domain("off").marker is None
    world.virsh("start", "off")
    assert drives(world, "off") == {
        "vda": str(to / "off.qcow2"),
        "sda": str(cd),
        "hdc": str(to / "cd.iso"),
        "fdb": str(read_only),
        **stay,
    }


@contextmanager
def with_a_drive(world: World, cd: Path) -> Iterator[FilesGuest]:
    """A guest that writes, and has the drivers for the drive that it was started with: a drive can't be plugged in."""
    with files_guest(world):
        with (world.folder / "drive.xml").open("wb") as file:
            file.write(etree.tostring(disk(cd, "sda", "raw", device="cdrom", bus="scsi")))
        controller = world.folder / "controller.xml"
        controller.write_text("<controller type='scsi' model='virtio-scsi'/>")
        for described in (controller, world.folder / "drive.xml"):
            world.virsh("attach-device", NAME, described, "--config")
        world.virsh("destroy", NAME)
        guest = FilesGuest(world)
        world.virsh("start", NAME)
        until(lambda: guest.lines() > 2, "the guest is back", 60.0)
        inside(world, "while read m; do insmod /modules/$m.ko; done </modules/cd")
        inside(world, "until [ -b /dev/sr0 ]; do sleep 0.1; done")
        yield guest
        guest.writes()


def inside(world: World, command: str) -> None:
    """Runs that in the guest, and waits until it has ended well."""
    pid = agent(world, "guest-exec", {"path": "/bin/sh", "arg": ["-c", command]})["pid"]
    seen: dict[str, int] = {}

    def ended() -> bool:
        seen.update(agent(world, "guest-exec-status", {"pid": pid}))  # which tells of an end once
        return bool(seen["exited"])

    until(ended, command, 20.0)
    assert seen["exitcode"] == 0, command


def agent(world: World, command: str, arguments: dict[str, object]) -> dict[str, int]:
    said = world.virsh("qemu-agent-command", NAME, json.dumps({"execute": command, "arguments": arguments}))
    found: dict[str, int] = json.loads(said)["return"]
    return found


# Linux keeps the tray locked while anybody has the drive open.
LOCK = "sleep 1000 </dev/sr0 >/dev/null 2>&1 & echo $! >/tmp/holder; sleep 0.5"
UNLOCK = "kill $(cat /tmp/holder)"


@pytest.mark.fault
def test_a_guest_that_keeps_its_tray_locked_keeps_its_medium_until_it_unlocks_it(world: World) -> None:
    cd, to = iso(world), world.lab.paths.pool("lab-b")

    def tray() -> str:
        return world.virsh("qemu-monitor-command", NAME, "--hmp", "info block")

    with with_a_drive(world, cd):
        inside(world, LOCK)
        assert "Removable device: locked, tray closed" in tray()

        result = world.cli.move(NAME, "--to", "lab-b")

        assert (result.code, result.document["state"], result.document["disks"][0]["verified"]) == (0, "done", True)
        (told,) = result.document["findings"]
        assert (told["level"], told["code"], told["target"]) == ("warn", "medium-stays", "sda")
        assert "tray" in told["text"]
        assert drives(world, NAME) == {"vda": str(to / "lab-files-vda.img"), "sda": str(cd)}
        assert not (to / "cd.iso").exists()
        assert "Removable device: locked, tray closed" in tray()
        inside(world, "dd if=/dev/sr0 of=/dev/null bs=64k count=8")

        process = world.cli.start("move", NAME, "--to", "lab-b", "--disk", "sda", "--json")
        until(lambda: asked_for_it(world), "libvirt is asked to change the medium")
        inside(world, UNLOCK)
        result = finished(process)

        assert (result.code, result.document["findings"]) == (0, []), result.stdout
        assert drives(world, NAME)["sda"] == str(to / "cd.iso")
        inside(world, "dd if=/dev/sr0 of=/dev/null bs=64k count=8")


def asked_for_it(world: World) -> bool:
    move = world.domain(NAME).marker
    return (
        move is not None and Journal(str(world.cli.journal)).read(move).last(Kind.INTENT, "change", "sda") is not None
    )
