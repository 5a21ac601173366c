"""Pools that need a kernel of their own: volume groups (device-mapper), thick and thin, and the kernel's NFS server."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lxml.builder import E

from svmove.lab.command import run
from svmove.lab.errors import LabError
from svmove.units import MiB
from tests.real.filesystems import defined, loop, unmount
from tests.real.world import GUEST, World

_THIN = "pool"
# Before its first extent; and a thin pool's metadata, twice.
_OVERHEAD = 32 * MiB


@dataclass(frozen=True, kw_only=True)
class Group:
    """A volume group with a libvirt pool of the same name."""

    world: World
    name: str

    def path(self, volume: str) -> Path:
        return Path(f"/dev/{self.name}/{volume}")

    @property
    def volumes(self) -> dict[str, int]:
        """Bytes of each, by name; without the thin pool."""
        said = run(["lvs", "--noheadings", "--units", "b", "--nosuffix", "-o", "lv_name,lv_size", self.name])
        found = dict(line.split() for line in said.splitlines())
        return {name: int(size) for name, size in found.items() if name != _THIN}

    def thin(self, volume: str, size: int) -> None:
        """As an administrator makes one; nothing to do where it is."""
        if volume not in self.volumes:
            words = ["--virtualsize", f"{size}b", "--name", volume, f"{self.name}/{_THIN}"]
            run(["lvcreate", "--yes", "--quiet", "--thin", *words])
            self.world.virsh("pool-refresh", self.name)

    def written(self, volume: str) -> int:
        """Percent of a thin volume that its pool has room for."""
        return round(float(run(["lvs", "--noheadings", "-o", "data_percent", f"{self.name}/{volume}"])))


@contextmanager
def group(world: World, size: int, thin: int = 0, old: bytes = b"", name: str = "svmove-tests") -> Iterator[Group]:
    """`size`, `thin`: bytes that thick volumes, and all thin ones together, can have. `old`: what its disk is full of
    before; nothing of it is to be seen by a guest."""
    image = world.folder / f"{name}.img"
    with image.open("wb") as file:
        length = size + thin + _OVERHEAD
        if old:
            block = old * (MiB // len(old))
            for _ in range(length // MiB):
                file.write(block)
        file.truncate(length)
    with loop(image) as device:
        run(["vgcreate", "--quiet", name, device])
        try:
            if thin:
                run(["lvcreate", "--quiet", "--type", "thin-pool", "--size", f"{thin}b", "--name", _THIN, name])
            element = E.pool(
                E.name(name),
                E.source(E.name(name), E.format(type="lvm2")),
                E.target(E.path(f"/dev/{name}")),
                type="logical",
            )
            with defined(world, element):
                try:
                    yield Group(world=world, name=name)
                finally:
                    for guest in world.virsh.names("list"):  # what it has open ends neither a pool nor a group
                        if guest != GUEST:
                            world.virsh("destroy", guest)
        finally:
            run(["vgremove", "--yes", "--force", "--force", "--quiet", name])
    image.unlink()


@contextmanager
def nfs(world: World, name: str = "exported") -> Iterator[Path]:
    """A netfs pool on an export of this machine's own kernel; the folder that is exported.

    It is mounted here, and so for the lab's daemon too, whose mounts follow the machine's; libvirt finds it mounted.
    """
    exported, folder = world.folder / f"{name}-there", world.folder / name
    for path in (exported, folder):
        path.mkdir(mode=0o755)
    run(["exportfs", "-o", "rw,sync,no_root_squash,no_subtree_check", f"127.0.0.1:{exported}"])
    try:
        run(["mount", "-n", "-t", "nfs", f"127.0.0.1:{exported}", folder])
        try:
            element = E.pool(
                E.name(name),
                E.source(E.host(name="127.0.0.1"), E.dir(path=str(exported)), E.format(type="nfs")),
                E.target(E.path(str(folder))),
                type="netfs",
            )
            with defined(world, element):
                yield exported
        finally:
            unmount([], folder)
    finally:
        with suppress(LabError):
            run(["exportfs", "-u", f"127.0.0.1:{exported}"])
