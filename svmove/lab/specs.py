"""What a lab's guest is: plain data, so that a test can ask for another one."""

from dataclasses import dataclass
from enum import StrEnum

from svmove.units import GiB, KiB, MiB

DOMAIN = "lab-guest"
POOLS = ("lab-a", "lab-b")

# Where the guest's fio writes, on each disk; the guest's init script says the same.
FIO_REGION = (64 * MiB, 128 * MiB)
_FIO = ((FIO_REGION[0], FIO_REGION[1] - FIO_REGION[0]),)


class Format(StrEnum):
    QCOW2 = "qcow2"
    RAW = "raw"


class Life(StrEnum):
    """What the guest's init does with its disks."""

    FIO = "fio"  # writes to all of each disk, and verifies
    FILES = "files"  # makes a file system on vda, deletes a file there, and goes on writing another


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A virtio disk in a volume of its own.

    `extents` are (offset, length) of random data in multiples of 4 KiB; the rest are holes.
    """

    target: str
    capacity: int
    format: Format = Format.QCOW2
    pool: str = POOLS[0]
    extents: tuple[tuple[int, int], ...] = ()

    def volume(self, domain: str) -> str:
        return f"{domain}-{self.target}.{'qcow2' if self.format is Format.QCOW2 else 'img'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """A persistent domain. Without an operating system it sits in its firmware: up in 0.5 s, and idle."""

    name: str
    disks: tuple[DiskSpec, ...]
    operating_system: bool = False
    life: Life = Life.FIO
    memory: int = 64 * MiB
    # What fio writes on each disk: blocks a second, and their size in bytes; read at boot.
    write_iops: int = 50
    write_block: int = 4 * KiB


def _runs(first: int, count: int, length: int, gap: int) -> tuple[tuple[int, int], ...]:
    return tuple((first + index * (length + gap), length) for index in range(count))


# Long runs with holes between, and single blocks strewn over the end: what a file system that was used for
# a while looks like to a copy. fio's region has data from the start: a first write to a hole waits for an
# allocation (up to 120 ms here), which would be mistaken for a pause.
LAB_GUEST = GuestSpec(
    name=DOMAIN,
    operating_system=True,
    memory=384 * MiB,  # initrd and its unpacked copy are both in RAM for a moment: 2 x 90 MiB
    disks=(
        DiskSpec(
            target="vda",
            capacity=2 * GiB,
            format=Format.QCOW2,
            extents=_FIO + _runs(256 * MiB, 8, 64 * MiB, 64 * MiB) + _runs(1536 * MiB, 128, 4096, MiB - 4096),
        ),
        DiskSpec(
            target="vdb",
            capacity=1 * GiB,
            format=Format.RAW,
            extents=_FIO + _runs(256 * MiB, 3, 64 * MiB, 64 * MiB) + _runs(768 * MiB, 64, 4096, MiB - 4096),
        ),
    ),
)

# Of tests: a guest with a mounted file system, which fstrim and fsfreeze need. It has written DELETED bytes there
# and deleted them, without a trim.
DELETED = 24 * MiB
FILES_GUEST = GuestSpec(
    name="lab-files",
    operating_system=True,
    memory=LAB_GUEST.memory,
    life=Life.FILES,
    disks=(DiskSpec(target="vda", capacity=128 * MiB, format=Format.RAW),),
)
