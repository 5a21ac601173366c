"""Where a test wants a disk of the running guest to be, brought about with plain virsh."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab import fill
from svmove.lab.command import run
from svmove.lab.errors import LabError
from svmove.lab.specs import LAB_GUEST
from svmove.units import MiB
from tests.real.world import GUEST, World

HOME = "lab-a"


def disk_xml(source: etree._Element, format_: str = "raw") -> etree._Element:
    """The <disk> of `source`: its type is told by what the source names."""
    kind = "network" if "protocol" in source.attrib else "block" if "dev" in source.attrib else "file"
    return E.disk(E.driver(name="qemu", type=format_), source, type=kind, device="disk")


def put(world: World, target: str, xml: etree._Element) -> etree._Element:
    """Takes the running guest's disk to what `xml` names, which is there already, of the disk's size.

    Returns the <disk> of the live XML, whose source is that place now.

    Raises:
        LabError: with virsh's words, which are none where the sizes differ.
    """
    file = world.folder / f"{target}.xml"
    file.write_bytes(etree.tostring(xml))
    flags = ["--transient-job", "--reuse-external", "--wait", "--pivot"]
    world.virsh("blockcopy", GUEST, target, "--xml", file, *flags)
    return described(world, target)


@contextmanager
def placed(world: World, target: str, xml: etree._Element) -> Iterator[etree._Element]:
    """The disk is there meanwhile, and in a file afterwards, wherever the test took it and however it failed."""
    try:
        yield put(world, target, xml)
    finally:
        home(world, target)


def home(world: World, target: str) -> None:
    """Takes the disk to a thin raw file in the lab's pool; nothing to do when it is in a file of its own name.

    Raises:
        LabError: its storage is gone. Then the guest has started anew from that file, as a new lab's would.
    """
    source = described(world, target).find("source")
    if source is not None and Path(source.get("file", "")).name.startswith(f"{GUEST}-{target}."):
        return
    path = world.lab.paths.pool(HOME) / f"{GUEST}-{target}.img"
    try:
        size = capacity(world, target)  # an error where QEMU waits for that storage
        with path.open("wb") as empty:
            empty.truncate(size)
        put(world, target, disk_xml(E.source(file=str(path))))
    except LabError:
        _start_from(world, target, path)
        raise
    _dig(world, path)
    world.virsh("pool-refresh", HOME)  # what a pool does not know is no volume, and is kept by a move


def thin(world: World, target: str) -> None:
    """Likewise of one that is at home, in a raw file, and came from where nothing tells of holes: it gets them back.

    In a new file, since QEMU remembers of one that it has open where it has found data (block_status_cache).
    """
    path = world.path(target)
    if _is_dense(path):
        fresh = path.with_suffix(".raw" if path.suffix == ".img" else ".img")
        with fresh.open("wb") as empty:
            empty.truncate(path.stat().st_size)
        put(world, target, disk_xml(E.source(file=str(fresh))))
        path.unlink()
        _dig(world, fresh)
        world.virsh("pool-refresh", HOME)


def _is_dense(path: Path) -> bool:
    return path.stat().st_blocks * 512 > path.stat().st_size - 64 * MiB


def _dig(world: World, path: Path) -> None:
    if _is_dense(path):
        # Suspended, the guest has no write in flight that could fall into a block which is just being found zero.
        world.virsh("suspend", GUEST)
        try:
            run(["fallocate", "--dig-holes", path])
        finally:
            world.virsh("resume", GUEST)


def _start_from(world: World, target: str, path: Path) -> None:
    if world.virsh("domstate", GUEST) != "shut off":
        world.virsh("destroy", GUEST)
    spec = next(disk for disk in LAB_GUEST.disks if disk.target == target)
    fill.write(path, spec, direct=fill.supports_direct(path.parent))
    domain = etree.fromstring(world.virsh("dumpxml", GUEST, "--inactive").encode())
    disk = _disk(domain, target)
    for name in ("source", "backingStore", "encryption"):
        for element in disk.findall(name):
            disk.remove(element)
    disk.set("type", "file")
    disk.append(E.source(file=str(path)))
    driver = disk.find("driver")
    assert driver is not None
    driver.set("type", "raw")
    world.virsh.define("define", domain)
    world.start_guest()


def described(world: World, target: str, *options: str) -> etree._Element:
    """The <disk> in the live XML, or with --inactive in that of the next start."""
    return _disk(etree.fromstring(world.virsh("dumpxml", GUEST, *options).encode()), target)


def _disk(domain: etree._Element, target: str) -> etree._Element:
    for disk in domain.iterfind("devices/disk"):
        if disk.find(f"target[@dev='{target}']") is not None:
            return disk
    raise AssertionError(f"the guest has no {target}")


def capacity(world: World, target: str) -> int:
    """Bytes, of the running guest's disk."""
    for line in world.virsh("domblkinfo", GUEST, target).splitlines():
        if line.startswith("Capacity:"):
            return int(line.split()[1])
    raise AssertionError(f"virsh tells no capacity of {target}")
