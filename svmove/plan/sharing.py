"""Copies that share their source's extents (reflink): what they take of their pool, which is next to nothing.

What the plan knows is that the file system shares such extents, tried with the file's first block. Should the copy not
be able to, after all, it is not made where its data would not fit (`svmove.move.bring`).
"""

from svmove.model import CopyWay, Inventory
from svmove.plan.choice import Choice
from svmove.requests import Method, Request
from svmove.units import MiB

# A fragment of a file takes about 100 bytes of the file system's trees (XFS: extents, reverse map, reference counts):
# this is enough for fragments of 6 KiB on average. qcow2's are 64 KiB.
_FRAGMENTED = 64
# Seconds that a guest writes into its overlay when nothing is copied: clone and proof take less than one, the overlay's
# mirror, cutover and merge two or three.
SECONDS = 10.0


def taken(size: int) -> int:
    """By a copy that shares `size` bytes."""
    return size // _FRAGMENTED + 1 * MiB


def shares(choice: Choice, request: Request, inventory: Inventory, method: Method) -> bool:
    """Whether a disk's own file is copied so, and no extent is shared for long.

    With a source that is kept all that the guest writes over takes room of its own, up to the disk's whole size."""
    disk = choice.disk
    if method not in (Method.SNAPSHOT, Method.OFFLINE) or not choice.as_it_is:
        return False
    goes = choice.volume is not None and not request.keep_source and request.keep_for is None
    return inventory.offloads.get(disk.target) is CopyWay.REFLINK and (goes or disk.read_only)


def layer_shares(choice: Choice, number: int, inventory: Inventory) -> bool:
    """Likewise, a file below it (from 1, the nearest), by any method. Nobody writes to it, so it may be kept."""
    return inventory.offloads.get(f"{choice.disk.target}:{number}") is CopyWay.REFLINK
