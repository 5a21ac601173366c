"""The kinds of places that need a kernel of their own. The tests of them have the marker `kernel`: the Vagrant lab runs
them (docs/vagrant.md)."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from svmove.policy import Policy
from svmove.units import MiB
from tests.real.caching import off, through_the_page_cache
from tests.real.pools import luks
from tests.real.pools.groups import group, nfs
from tests.real.pools.kinds import HOME, Place, size
from tests.real.world import World

# What the policy leaves free, and a header of LUKS: 16 MiB, and up to an extent of 4.
_BESIDES = Policy().space.reserve + 32 * MiB


@contextmanager
def _logical(world: World) -> Iterator[Place]:
    with group(world, size(world) + _BESIDES) as made:
        yield Place(kind="logical", disk=f"vdb={made.name},name=vdb", thin=False)


@contextmanager
def _logical_thin(world: World) -> Iterator[Place]:
    length = size(world)
    with group(world, length // 4, thin=length, name="svmove-thin") as made:
        yield Place(
            kind="logical, a thin volume",
            disk=f"vdb={made.name},name=vdb",
            words=("--overwrite",),
            thin=False,
            ready=lambda: made.thin("vdb", length),
        )


@contextmanager
def _luks_logical(world: World) -> Iterator[Place]:
    """A header is of no whole extents."""
    length = size(world) + _BESIDES
    with luks.passphrase(world, "logical") as secret, group(world, length, name="svmove-locked") as made:
        disk = f"vdb={made.name},name=vdb"
        yield Place(kind="logical in LUKS", disk=disk, words=("--encrypt", secret), locked=True, thin=False)


@contextmanager
def _nfs(world: World) -> Iterator[Place]:
    with nfs(world):
        yield Place(kind="netfs, raw on NFS", disk="vdb=exported,format=raw,name=vdb.img")


@contextmanager
def _nfs_qcow2(world: World) -> Iterator[Place]:
    with nfs(world, "exported-too"):
        yield Place(kind="netfs, qcow2 on NFS", disk="vdb=exported-too,format=qcow2,name=vdb.qcow2")


@contextmanager
def _smaller(world: World) -> Iterator[None]:
    """The guest's vdb: without KVM the machine encrypts 20 MB a second. What the guest writes is below that."""
    before = size(world)
    _cut(world, 384 * MiB)
    try:
        yield
    finally:
        _cut(world, before)


def _cut(world: World, length: int) -> None:
    path = world.path("vdb")
    with off(world):
        os.truncate(path, length)
        world.virsh("pool-refresh", "lab-a")


Makers = Mapping[str, Callable[[World], AbstractContextManager[Place]]]

KERNEL_KINDS: Makers = {"logical": _logical, "logical-thin": _logical_thin, "nfs": _nfs, "nfs-qcow2": _nfs_qcow2}
# Of which there and back is all that is walked.
LOCKED_KINDS: Makers = {"luks-logical": _luks_logical}
# Between KERNEL_KINDS and each of these, a walk for each line: so many servers at once have room in the machine.
OTHERS: Mapping[str, Sequence[str]] = {
    "drivers": (HOME, "qcow2", "iscsi", "nbd", "rbd", "partition"),  # one of each way in which QEMU opens a disk
    "systems": ("xfs", "btrfs"),
    "memory": ("tmpfs",),
    "locked": ("luks-raw", "luks-qcow2", "luks-partition", "luks-iscsi"),
    "ceph-locked": ("luks-rbd",),
}
GIVEN: Mapping[str, Callable[[World], AbstractContextManager[None]]] = {
    "memory": through_the_page_cache,  # on tmpfs there is O_DIRECT since Linux 6.6; Debian 12 has 6.1
    **dict.fromkeys(("locked", "ceph-locked", "there and back"), _smaller),
}
