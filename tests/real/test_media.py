"""CD-ROM and floppy drives of a real guest: what is in them moves by a change of the medium."""

from pathlib import Path

from svmove.host.command import run
from svmove.model import DomainState
from tests.real.world import World, disk


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
