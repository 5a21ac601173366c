"""How finely the mirror's dirty bitmap marks what the guest writes, from how it writes.

A write marks every granule that it touches, so a guest that writes 4 KiB here and there makes the mirror copy a
whole granule each time. Measured on a raw disk, 690 random writes of 4 KiB a second, the copy at 12 MiB/s: with
64 KiB the guest dirties 43 MiB/s, and the mirror was never ready; with 4 KiB 2.7 MiB/s, ready after 43 s.

Coarse is faster in bulk (1 MiB took 15 to 25 % less time), but a granule is copied whole, with the holes in it: a
thin image of 584 MiB arrived with 704 MiB. So what is chosen here is never coarser than QEMU's own 64 KiB, nor
finer than what keeps holes in a qcow2 (`plan.holes`).
"""

from svmove.model import WriteRate
from svmove.units import KiB

# QEMU's choice when it is not told: the target's cluster size, between 4 and 64 KiB; 64 KiB for raw.
COARSE = 64 * KiB
# A sector of today's disks, and the smallest block of nearly every file system.
FINE = 4 * KiB
# Of the copy's rate: what the guest dirties at 64 KiB a write. Below it, the mirror gets ready as it is.
_MATTERS = 0.25


def dirties(writes: WriteRate, granularity: int) -> float:
    """Bytes per second that the mirror must copy again for it, at the most: each write in granules of its own."""
    return max(writes.requests * granularity, writes.bytes)


def matters(writes: WriteRate, copy_rate: float) -> bool:
    """Whether the guest writes so much that the granularity may decide; `copy_rate` in bytes per second."""
    return dirties(writes, COARSE) > copy_rate * _MATTERS


def granularity_for(writes: WriteRate | None, copy_rate: float, least: int = 1) -> int | None:
    """The largest power of two that a mean write fills; None: QEMU's own, also where it would be below `least`.

    A table of what comes out (`copy_rate` 200 MiB/s):

        idle                          None
        50 writes/s of 4 KiB          None      3 MiB/s dirtied: nothing against 200
        2,000 writes/s of 4 KiB       4 KiB     else 125 MiB/s dirtied
        2,000 writes/s of 24 KiB      16 KiB
        500 writes/s of 1 MiB         None      64 KiB is fine enough: no write is smaller
    """
    if writes is None or not writes.requests or not matters(writes, copy_rate):
        return None
    mean = int(writes.bytes / writes.requests)
    if mean >= COARSE:
        return None
    chosen = max(1 << max(mean.bit_length() - 1, 0), FINE)
    return chosen if chosen >= least else None
