"""Block devices: loop devices, and partitions of them in a libvirt pool."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import run
from tests.real.filesystems import defined, loop
from tests.real.world import World, until

_SECTOR = 512
_FIRST = 2048 * _SECTOR  # where partitions begin: aligned to 1 MiB
_TABLE = 33 * _SECTOR  # GPT's second table, at the end
_SLACK = 16 << 20  # libvirt makes no partition that would fill a free extent


@contextmanager
def block(image: Path, size: int, *options: str) -> Iterator[str]:
    """A loop device of exactly `size` bytes over a sparse file. What is discarded is a hole there again."""
    with image.open("wb") as file:
        file.truncate(size)
    with loop(image, *options) as device:
        yield device
    image.unlink()


def source(device: str, size: int | None = None) -> etree._Element:
    """Of a disk of type block. `size`: bytes of the disk, where the device is larger."""
    element = E.source(dev=device)
    if size is not None:
        element.append(E.slices(E.slice(type="storage", offset="0", size=str(size))))
    return element


@contextmanager
def partitions(world: World, size: int, made: Sequence[int] = (), name: str = "parts") -> Iterator[str]:
    """A libvirt pool of kind `disk` on a GPT loop device, yields the device.

    `size`: bytes that partitions can have together; `made`: exact bytes of partitions that are there from the start,
    as whole MiB or what is left. libvirt makes more with vol-create.
    """
    with block(world.folder / f"{name}.img", _FIRST + size + _SLACK + _TABLE, "--partscan") as device:
        words, start = ["mklabel", "gpt"], _FIRST
        for number, length in enumerate(made, 1):
            assert length % _SECTOR == 0
            words += ["mkpart", f"p{number}", f"{start // _SECTOR}s", f"{(start + length) // _SECTOR - 1}s"]
            start += -(-length // _FIRST) * _FIRST
        run(["parted", "--script", device, "unit", "s", *words])
        for number in range(1, len(made) + 1):
            until(Path(f"{device}p{number}").is_block_device, "the kernel shows the partition")
        element = E.pool(
            E.name(name),
            E.source(E.device(path=device), E.format(type="gpt")),
            E.target(E.path("/dev")),
            type="disk",
        )
        with defined(world, element):
            yield device
