"""What hangs on a disk beside its bytes: how it is allocated, its checkpoints and their bitmaps."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from lxml import etree
from lxml.builder import E

from svmove.units import MiB
from tests.real.faults.storage import filesystem, loop, pool
from tests.real.world import World, disk, passable, uefi, until

SIZE = 64 * MiB
DATA = 8 * MiB


def io(path: Path, format_: str, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", format_, *words, str(path)], check=True, stdout=subprocess.DEVNULL)


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def write(world: World, name: str, command: str) -> None:
    """As the guest would: through the device's own block backend, so that dirty bitmaps see it."""
    device = "/machine/peripheral/virtio-disk0/virtio-backend"
    world.virsh("qemu-monitor-command", name, "--hmp", f'qemu-io -d {device} "{command}"')


# Allocation


def source(world: World, format_: str, kind: str) -> Path:
    """64 MiB, 8 of them data; the rest holes, or allocated and never written, or zeroes that were written."""
    path = world.image(f"{kind}.{format_}", str(SIZE), format_, *(["-o", "preallocation=falloc"] * (kind == "full")))
    if kind == "zeroes":
        io(path, format_, f"write -P 0 0 {SIZE}")
    io(path, format_, f"write -P 7 0 {DATA}")
    return path


@pytest.mark.parametrize(
    ("format_", "kind", "asked", "becomes", "expected"),
    [
        ("raw", "thin", "full", "keep", SIZE),
        ("raw", "thin", "keep", "keep", DATA),
        ("raw", "full", "thin", "keep", DATA),
        ("raw", "full", "keep", "keep", SIZE),
        ("raw", "full", "thin", "qcow2", DATA),
        ("raw", "zeroes", "thin", "keep", SIZE),  # zeroes that were written: the plan says so
        ("qcow2", "thin", "full", "keep", SIZE),
        ("qcow2", "full", "thin", "raw", SIZE),  # preallocated clusters are data to QEMU: the plan says so
    ],
)
def test_thin_becomes_full_and_full_becomes_thin(
    world: World, format_: str, kind: str, asked: str, becomes: str, expected: int
) -> None:
    world.guest("room", disk(source(world, format_, kind), format_=format_))

    result = world.cli.move("room", "--to", "lab-b", "--allocation", asked, "--format", becomes)

    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout
    assert allocated(world.path("vda", "room")) == pytest.approx(expected, rel=0.05)
    zeroes = [one["code"] for one in result.document["findings"] if one["code"] == "zeroes-stay"]
    assert zeroes == (["zeroes-stay"] if asked == "thin" else [])


def test_zeroes_that_were_written_become_holes_where_the_disk_looks_for_them(world: World) -> None:
    element = disk(source(world, "raw", "zeroes"), format_="raw")
    driver = element.find("driver")
    assert driver is not None
    driver.set("detect_zeroes", "unmap")
    world.guest("room", element)

    result = world.cli.move("room", "--to", "lab-b", "--allocation", "thin")

    assert result.code == 0, result.stdout
    assert allocated(world.path("vda", "room")) == pytest.approx(DATA, rel=0.05)


def test_pools_on_one_file_system_share_its_space_in_the_plan(world: World) -> None:
    """Both of the lab's pools lie on one. So much that it would fit once, and not twice."""
    free = {pool["name"]: pool["available"] for pool in world.cli("pools", "--json").document["pools"]}
    size = free["lab-b"] * 6 // 10
    one, two = (world.image(f"{name}.img", str(size), "raw") for name in ("one", "two"))
    world.guest("large", disk(one, format_="raw"), disk(two, "vdb", format_="raw"))
    there = ["--allocation", "full", "--json", "--disk", "vda=lab-b,name=x"]

    alone = world.cli("plan", "large", *there)
    both = world.cli("plan", "large", *there, "--disk", "vdb=lab-a,name=y")

    assert (alone.code, both.code, both.codes if both.code == 0 else "no-space") == (0, 3, "no-space")
    assert "pools lab-a and lab-b share a file system" in both.stdout


# Checkpoints


class Backups:
    """Push-mode backups of a guest, as backup programs make them."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.folder = world.folder / "backups"
        self.folder.mkdir()
        self.folder.chmod(0o777)

    def begin(self, file: str, targets: Sequence[str], *, since: str | None = None, point: str | None = None) -> Path:
        disks = E.disks()
        for one in self.world.domain(self.name).live:
            element = E.disk(name=one.target)
            if one.target in targets:
                element.set("type", "file")
                element.extend([E.driver(type="qcow2"), E.target(file=str(self.folder / f"{file}-{one.target}"))])
            else:
                element.set("backup", "no")
            disks.append(element)
        backup = E.domainbackup(*([E.incremental(since)] if since else []), disks, mode="push")
        files = [self._file("backup.xml", backup)]
        if point is not None:
            files.append(self._file("point.xml", E.domaincheckpoint(E.name(point))))
        self.world.virsh("backup-begin", self.name, *files)
        until(lambda: self.world.domain(self.name).job == "", "the backup has ended")
        return self.folder / f"{file}-{targets[0]}"

    def _file(self, name: str, element: etree._Element) -> Path:
        path = self.world.folder / name
        path.write_bytes(etree.tostring(element))
        return path

    @property
    def points(self) -> dict[str, tuple[str, ...]]:
        return {point.name: point.targets for point in self.world.domain(self.name).checkpoints}


@pytest.fixture
def backups(world: World) -> Backups:
    """Of a guest with two qcow2 disks, half of vda data, after a full backup with checkpoint c1."""
    paths = [world.image(f"{target}.qcow2", "64M") for target in ("vda", "vdb")]
    io(paths[0], "qcow2", "write -P 1 0 32M")
    world.guest("saved", disk(paths[0]), disk(paths[1], "vdb"))
    made = Backups(world, "saved")
    made.begin("full", ["vda", "vdb"], point="c1")
    return made


def test_an_incremental_backup_after_a_move_to_qcow2_restores_to_the_disk_as_it_was(
    world: World, backups: Backups
) -> None:
    write(world, "saved", "write -P 2 1M 1M")

    result = world.cli.move("saved", "--to", "lab-b")
    assert result.code == 0, result.stdout
    assert {one["code"] for one in result.document["findings"]} == {"checkpoints"}

    write(world, "saved", "write -P 3 40M 1M")
    world.virsh("suspend", "saved")  # the disk stays as it was at the backup
    since = backups.begin("increment", ["vda"], since="c1")

    moved = world.path("vda", "saved")
    restored = since.with_suffix(".restored")
    chain = ["-b", str(backups.folder / "full-vda"), "-F", "qcow2", "-f", "qcow2"]
    subprocess.run(["qemu-img", "rebase", "-u", *chain, str(since)], check=True)
    # The two megabytes, and not the whole disk again.
    assert 2 * MiB <= allocated(since) < 4 * MiB
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(since), str(restored)], check=True)
    world.virsh("destroy", "saved")
    subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(restored), str(moved)], check=True)
    assert backups.points == {"c1": ("vda", "vdb")}


def test_a_move_to_raw_warns_before_and_takes_the_disk_out_of_its_checkpoints(world: World, backups: Backups) -> None:
    backups.begin("second", ["vda"], point="c2")
    asked = ["saved", "--to", "lab-b", "--disk", "vda", "--format", "raw"]
    told = [one for one in world.cli("plan", *asked, "--json").document["findings"] if one["code"] == "checkpoints"]
    assert [(one["level"], "c1, c2" in one["text"]) for one in told] == [("warn", True)]
    before = backups.points

    result = world.cli.move(*asked)

    assert result.code == 0, result.stdout
    assert before["c1"] == ("vda", "vdb")
    assert {name: targets for name, targets in backups.points.items() if "vda" in targets} == {}
    assert backups.points["c1"] == ("vdb",)
    assert [one["code"] for one in result.document["findings"]].count("checkpoint-lost") == 2
    # What is left is whole: an increment of the other disk, and an ordinary end of the checkpoint.
    backups.begin("increment", ["vdb"], since="c1")
    world.virsh("checkpoint-delete", "saved", "c1")


def test_a_bitmap_without_a_checkpoint_goes_along_to_qcow2_and_is_warned_of_for_raw(world: World) -> None:
    path = world.image("mapped.qcow2", "64M")
    subprocess.run(["qemu-img", "bitmap", "--add", "-f", "qcow2", str(path), "mine"], check=True)
    world.guest("mapped", disk(path))
    write(world, "mapped", "write -P 2 1M 1M")
    raw = world.cli("plan", "mapped", "--to", "lab-b", "--format", "raw", "--json").document
    assert [(one["level"], one["code"]) for one in raw["findings"]] == [("warn", "bitmaps")]

    result = world.cli.move("mapped", "--to", "lab-b")

    assert (result.code, result.document["findings"]) == (0, [])
    moved = world.path("vda", "mapped")
    world.virsh("destroy", "mapped")
    assert world.host.image(str(moved), "qcow2").bitmaps == ("mine",)


# The method, and the home


def test_the_rest_of_a_guests_home_is_named_and_stays(world: World) -> None:
    variables = passable(world.folder) / "home_VARS.fd"
    variables.write_bytes(b"x" * 1024)
    world.guest("home", disk(world.image("home.qcow2")), start=False)
    uefi(world, "home", variables)

    found = world.cli("plan", "home", "--to", "lab-b", "--json").document["findings"]

    (nvram,) = [one for one in found if one["code"] == "nvram"]
    assert (nvram["level"], f"{variables}: that is no volume of a pool" in nvram["text"]) == ("note", True)


def test_pools_on_one_reflink_file_system_are_seen_and_a_large_disk_is_not_copied_there(world: World) -> None:
    image = world.folder / "xfs.img"
    for command in (["truncate", "-s", "4G", str(image)], ["mkfs.xfs", "-q", "-m", "reflink=1", str(image)]):
        subprocess.run(command, check=True)
    with loop(image) as device, filesystem(world, device, world.folder / "xfs") as root:
        folders = [root / "one", root / "two"]
        for folder in folders:
            folder.mkdir(mode=0o755)
        with pool(world, folders[0], "one"), pool(world, folders[1], "two"):
            path = folders[0] / "large.img"
            subprocess.run(["fallocate", "-l", "1200M", str(path)], check=True)
            io(path, "raw", f"write -P 7 0 {DATA}")
            world.virsh("pool-refresh", "one")
            world.guest("large", disk(path, format_="raw"))

            plan = world.cli("plan", "large", "--to", "two", "--json").document
            result = world.cli.move("large", "--to", "two")

            assert (plan["method"], plan["verify"]) == ("snapshot", "before")
            assert plan["why"] == "both pools share a file system with reflink, so 1.2 GiB stay"
            assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout
            assert world.where("large") == {"vda": "two"}
            world.virsh("destroy", "large")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--verify", "before", "--method", "mirror"], "verify-before"),
        (["--verify", "before", "--method", "synchronous"], "verify-before"),
    ],
)
def test_what_a_method_can_not_do_is_refused(world: World, words: list[str], code: str) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    result = world.cli.move("small", "--to", "lab-b", *words)
    assert (result.code, result.codes) == (3, [code])
