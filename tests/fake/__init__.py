"""A small honest world: one guest, its disks' bytes, QEMU's open files, block jobs, events, and time.

It is honest where a move could lose data: a file is an object with an identity, a path only names one; QEMU
goes on with the object that it holds; the guest writes whenever it runs; a mirror copies what is dirty; a
pivot takes effect some time after it was asked for, and libvirt's XML some time after that. Whoever deletes
what must not be deleted raises `ViolationError`.

A test makes the world do harm: `world.before["call"]` runs before each call of that name, `world.faults`
strikes at the N-th call of all.
"""

from tests.fake.events import FakeClock, FakeEvents
from tests.fake.faults import CrashError, Faults, ViolationError
from tests.fake.host import FakeHost
from tests.fake.hypervisor import FakeHypervisor
from tests.fake.journal import FaultyJournal
from tests.fake.things import BLOCK, BLOCKS, Copying
from tests.fake.world import World, refuse

__all__ = [
    "BLOCK",
    "BLOCKS",
    "Copying",
    "CrashError",
    "FakeClock",
    "FakeEvents",
    "FakeHost",
    "FakeHypervisor",
    "Faults",
    "FaultyJournal",
    "ViolationError",
    "World",
    "refuse",
]
