"""What is empty in a disk's image: whether it stays a hole in the qcow2 that QEMU's mirror makes of it.

QEMU leaves out only whole clusters of the destination, and each piece that it looks at begins where the one before
it has ended, in granules of its dirty bitmap. So where a hole may begin within a cluster, granules finer than a cluster
fill it: all is written, up to the next data. Measured (QEMU 7.2): a raw image of 256 MiB with 2 MiB of data in 256
places became a qcow2 of 251 MiB with granules of 4 or 16 KiB, and of 17 MiB with 64 KiB.
"""

from collections.abc import Iterator

from svmove.model import Image, Inventory
from svmove.moves import Finding, Level
from svmove.plan.case import Case
from svmove.plan.choice import Choice
from svmove.plan.granularity import COARSE
from svmove.requests import Method
from svmove.units import KiB, show_size
from svmove.volumes import QCOW2_CLUSTER

# Of a file system, and so of what is empty in a raw image.
_BLOCK = 4 * KiB
# Of a cluster, with extended L2 entries.
_SUBCLUSTERS = 32


def finest(choice: Choice, inventory: Inventory) -> int:
    """The granularity in bytes with which they stay; 1: any."""
    spec = choice.destination
    if spec is None or spec.format != "qcow2":
        return 1
    below = [] if spec.backing else [inventory.images.get(layer.source) for layer in choice.layers]  # flattened into it
    smallest = min(_smallest(image) for image in (choice.image, *below))
    cluster = spec.cluster_bytes or QCOW2_CLUSTER
    return min(cluster, COARSE) if smallest < cluster else 1  # QEMU's own is no coarser


def _smallest(image: Image | None) -> int:
    """The smallest hole that it can have, in bytes."""
    if image is None or image.format != "qcow2":
        return _BLOCK
    cluster = image.cluster_bytes or QCOW2_CLUSTER
    return cluster // _SUBCLUSTERS if image.extended_l2 else cluster


def filled(case: Case, choice: Choice) -> bool:
    """Whether the policy's granularity fills them."""
    asked = case.policy.mirror.granularity
    mirrored = case.method in (Method.MIRROR, Method.SYNCHRONOUS)
    full = choice.destination is not None and choice.destination.full  # as was asked for
    return mirrored and not full and asked is not None and asked < finest(choice, case.inventory)


def lost(choice: Choice, why: str, *, level: Level = Level.NOTE, remedy: str | None = None) -> Iterator[Finding]:
    """Nothing of a disk that has none."""
    image, spec, target = choice.image, choice.destination, choice.disk.target
    if image is None or spec is None or image.allocated_bytes >= spec.capacity:
        return
    sizes = f"{show_size(image.allocated_bytes)} of {show_size(spec.capacity)} are allocated now"
    yield Finding(level=level, code="thinness", text=f"{target}: {sizes}; {why}", remedy=remedy, target=target)
