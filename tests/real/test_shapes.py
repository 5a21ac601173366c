"""Disks as they are in the field: each shape is moved, verified, and the same as before but for its source."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree
from lxml.builder import E

from svmove.host.command import run
from svmove.units import MiB
from tests.real.world import World, disk

Change = Callable[[etree._Element], None]


def driver(**options: str) -> Change:
    def change(element: etree._Element) -> None:
        found = element.find("driver")
        assert found is not None
        for name, value in options.items():
            found.set(name, value)

    return change


def add(child: etree._Element) -> Change:
    return lambda element: element.append(deepcopy(child))  # lxml would move it from the last disk


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One guest: its disks (target → bus, and what is changed in the element), and what else it has."""

    name: str
    disks: dict[str, tuple[str, *tuple[Change, ...]]]
    beside: tuple[etree._Element, ...] = ()
    iothreads: int = 0
    kept: bool = False  # the sources, after the move


def scsi(model: str = "virtio-scsi", **options: str) -> etree._Element:
    controller = E.controller(type="scsi", index="0", model=model)
    if options:
        controller.append(E.driver(**options))
    return controller


_READ_ONLY = add(E.readonly())
SHAPES = [
    Shape(
        name="buses",
        disks={"vda": ("virtio",), "hda": ("ide",), "sda": ("sata",), "sdb": ("sata",), "sdc": ("scsi",)},
        beside=(scsi("lsilogic"),),
    ),
    Shape(name="virtio-scsi", disks={"sda": ("scsi",), "sdb": ("scsi",), "sdc": ("scsi",)}, beside=(scsi(),)),
    Shape(
        name="read-only",
        disks={"vda": ("virtio", _READ_ONLY), "sda": ("scsi", _READ_ONLY)},
        beside=(scsi(),),
        kept=True,
    ),
    Shape(
        name="options",
        disks={
            "vda": ("virtio", driver(discard="unmap", detect_zeroes="unmap")),
            "vdb": ("virtio", driver(discard="ignore", detect_zeroes="on")),
            "vdc": ("virtio", driver(cache="none", io="native", queues="4")),
            "vdd": ("virtio", driver(error_policy="stop", rerror_policy="report")),
            "vde": (
                "virtio",
                add(E.serial("WD 1")),
                add(E.iotune(E.total_iops_sec("900"), E.group_name("g"))),
                add(E.blockio(logical_block_size="512", physical_block_size="4096")),
                add(E.boot(order="1")),
                add(E.alias(name="ua-data")),
            ),
        },
    ),
]
IOTHREADS = [
    Shape(
        name="virtio-iothread",
        disks={"vda": ("virtio", driver(iothread="1")), "vdb": ("virtio", driver(iothread="2"))},
        iothreads=2,
    ),
    Shape(
        name="virtio-scsi-iothread",
        disks={"sda": ("scsi",), "sdb": ("scsi",)},
        beside=(scsi(iothread="1", queues="2"),),
        iothreads=1,
    ),
]


def filled(world: World, name: str) -> Path:
    path = world.image(name, "16M")
    run(["qemu-io", "-c", f"write -P 7 1M {5 * MiB}", str(path)])
    return path


def made(world: World, shape: Shape) -> dict[str, Path]:
    """The guest, running. Its images, by target."""
    sources = {target: filled(world, f"{shape.name}-{target}.qcow2") for target in shape.disks}
    disks = []
    for target, (bus, *changes) in shape.disks.items():
        disks.append(disk(sources[target], target, bus=bus))
        for change in changes:
            change(disks[-1])
    world.guest(shape.name, *disks, *shape.beside, iothreads=shape.iothreads)
    return sources


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_disk_of_any_shape_is_moved_and_nothing_of_it_but_its_source_changes(world: World, shape: Shape) -> None:
    sources = made(world, shape)
    before = world.elements(shape.name), world.elements(shape.name, "--inactive")

    result = world.cli.move(shape.name, "--to", "lab-b")

    assert (result.code, result.document["state"]) == (0, "done"), result.stdout
    assert {d["target"]: d["verified"] for d in result.document["disks"]} == dict.fromkeys(shape.disks, True)
    assert world.where(shape.name) == dict.fromkeys(shape.disks, "lab-b")
    assert (world.elements(shape.name), world.elements(shape.name, "--inactive")) == before
    assert {path.exists() for path in sources.values()} == {shape.kept}


@pytest.mark.parametrize("shape", IOTHREADS, ids=lambda shape: shape.name)
def test_a_disk_with_an_iothread_is_not_compared_by_a_qemu_that_would_crash_and_is_moved_without(
    world: World, shape: Shape
) -> None:
    sources = made(world, shape)
    before = world.elements(shape.name), world.elements(shape.name, "--inactive")

    if world.hypervisor.versions().qemu < 9_000_000:
        assert world.cli.move(shape.name, "--to", "lab-b").codes == ["iothread"]
        result = world.cli.move(shape.name, "--to", "lab-b", "--verify", "none", "--keep-source")
    else:
        result = world.cli.move(shape.name, "--to", "lab-b", "--keep-source")

    assert (result.code, result.document["state"]) == (0, "done"), result.stdout
    assert world.where(shape.name) == dict.fromkeys(shape.disks, "lab-b")
    assert (world.elements(shape.name), world.elements(shape.name, "--inactive")) == before
    for target, source in sources.items():  # an idle guest: nothing was written since
        run(["qemu-img", "compare", "-U", str(source), str(world.path(target, shape.name))])
