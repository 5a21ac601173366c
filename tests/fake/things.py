"""What the world is made of: files with their bytes, the guest's disks and drives, copies that run."""

from dataclasses import dataclass, field

from svmove.location import Secret
from svmove.units import KiB

BLOCK = 64 * KiB
BLOCKS = 4


@dataclass(eq=False)
class File:
    identity: str
    blocks: list[int] = field(default_factory=lambda: [0] * BLOCKS)
    format: str = "qcow2"
    below: "File | None" = None
    version: int = 0  # differs after each write
    luks: Secret | None = None  # what opens it
    own: set[int] = field(default_factory=set)  # the blocks that it has itself, when there is a file below

    def read(self, block: int) -> int:
        return self.blocks[block] if self.below is None or block in self.own else self.below.read(block)

    def write(self, block: int, value: int) -> None:
        self.version += 1
        self.blocks[block] = value
        self.own.add(block)

    def content(self) -> list[int]:
        return [self.read(block) for block in range(BLOCKS)]

    def chain(self) -> "list[File]":
        return [self, *(self.below.chain() if self.below else ())]


@dataclass(eq=False)
class Copying:
    path: str
    file: File
    job: str = "copy"
    dirty: set[int] = field(default_factory=lambda: set(range(BLOCKS)))
    end: int = BLOCKS * BLOCK
    ready: bool = False
    pivoting: bool = False
    cancelled: bool = False
    per_tick: int = 2  # blocks; 0: it hangs
    cap: int | None = None  # one below a block per second stops it
    synchronous: bool = False
    pivot_error: str | None = None


@dataclass(eq=False)
class Drive:
    """One disk of the guest."""

    target: str
    path: str  # what libvirt says live
    inactive: str
    file: File  # what QEMU writes to
    mirror: Copying | None = None
    # After a pivot libvirt has work to do: let go of the old file, write the inactive XML.
    old: File | None = None
    frozen: list[int] | None = None  # as the export shows it
    truth: list[int] = field(default_factory=list)  # all that the guest ever wrote
    requests: int = 0  # of these writes
    limits: dict[str, int] = field(default_factory=dict)
    group: str = ""
    credit: float = 1.0  # writes that its limits allow now


@dataclass(eq=False)
class Medium:
    """What a CD-ROM drive has, and how its guest takes a change of that."""

    target: str
    path: str | None
    inactive: str | None
    file: File | None  # that QEMU has open
    truth: list[int]
    locked: bool = False
    tray_open: bool = False
