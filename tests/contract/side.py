"""What the contract tests are run against: the fake world, or a guest of the real lab."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lxml.builder import E

from svmove.events import Event, EventKind
from svmove.host.command import run
from svmove.model import Agent, Disk, DomainState, Process
from svmove.ports import Events, Hypervisor
from svmove.ports_host import Host
from svmove.units import KiB, MiB
from svmove.volumes import NVRAM, CopyOptions, VolumeSpec
from tests import fake
from tests.builders import UUID, spec
from tests.real.world import World, disk, until
from tests.real.world import uefi as give_uefi

# So low that a copy is not ready within any test.
SLOW = 32 * KiB


@dataclass(frozen=True, kw_only=True)
class Side:
    """A running guest with two disks of data, vda and vdb, that does not write, a CD in sda, and a channel for an agent
    that it does not run; a pool that they can go to."""

    hypervisor: Hypervisor
    host: Host
    name: str
    uuid: str
    pools: tuple[str, str]  # where the disks are, where they can go
    folder: str  # of the second
    capacity: int
    scratch: str  # a folder that does not exist yet
    off: Callable[[], None]
    on: Callable[[], None]  # raises SvmoveError when it can't be started
    spoil: Callable[[str, int], None]  # changes a byte of an image that nobody has open
    sleep: Callable[[float], None]
    checkpoint: Callable[[str], None]  # of both disks
    cd: str  # in the drive
    more_cds: Callable[[], tuple[str, str]]  # other images, that differ
    uefi: Callable[[], str]  # the guest goes off, and has UEFI variables from now on: their file

    def drive(self) -> tuple[str | None, str | None]:
        """What is in sda, live and for the next start."""
        inactive = self.hypervisor.domain(self.uuid).inactive_disk("sda")
        assert inactive is not None
        return self.live("sda").path, inactive.path

    def spec(self, target: str = "vda") -> VolumeSpec:
        name = f"{self.name}-{target}.qcow2"
        return spec(pool=self.pools[1], name=name, path=f"{self.folder}/{name}", capacity=self.capacity)

    def live(self, target: str = "vda") -> Disk:
        found = self.hypervisor.domain(self.uuid).disk(target)
        assert found is not None
        return found

    def path(self, target: str = "vda") -> str:
        """The live source."""
        path = self.live(target).path
        assert path is not None
        return path

    def process(self) -> Process:
        found = self.host.process(self.uuid)
        assert found is not None
        return found

    def start(self, target: str = "vda", *, bandwidth: int | None = None) -> VolumeSpec:
        """The volume is made, and a copy to it begun."""
        made = self.spec(target)
        self.hypervisor.create_volume(made)
        self.hypervisor.start_copy(self.uuid, target, made, CopyOptions(bandwidth=bandwidth, buffer=1 * MiB))
        return made

    def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(200):
            if holds():
                return
            self.sleep(0.05)
        raise AssertionError("not within 10 s")


def awaited(events: Events, kind: EventKind, target: str | None = None) -> Event:
    """The next event of that kind; others are passed over."""
    for _ in range(20):
        event = events.next(10.0)
        assert event is not None, f"no {kind} within 10 s"
        if (event.kind, event.target) == (kind, target):
            return event
    raise AssertionError(f"no {kind} among 20 events")


def fake_side() -> Side:
    world = fake.World("vda", "vdb", "sda")
    world.writes, world.agent = False, Agent.SILENT

    def more_cds() -> tuple[str, str]:
        one, other = "/pools/slow/one.iso", "/pools/slow/other.iso"
        world.make_file(one).blocks = [8] * fake.BLOCKS
        world.make_file(other)
        return one, other

    def uefi() -> str:
        world.stop_guest()
        world.drives[NVRAM] = world._drive(NVRAM)
        return world.drives[NVRAM].path

    def spoil(path: str, at: int) -> None:
        file, block = world.files[path], at // fake.BLOCK
        file.write(block, file.read(block) + 1)

    return Side(
        hypervisor=fake.FakeHypervisor(world),
        host=fake.FakeHost(world),
        name="web",
        uuid=UUID,
        pools=("slow", "fast"),
        folder="/pools/fast",
        capacity=fake.BLOCKS * fake.BLOCK,
        scratch="/scratch/contract",
        off=world.stop_guest,
        on=world.start_guest,
        spoil=spoil,
        sleep=world.pass_time,
        checkpoint=lambda name: world.checkpoints.update({name: {"vda", "vdb"}}),
        cd="/pools/slow/sda.iso",
        more_cds=more_cds,
        uefi=uefi,
    )


@contextmanager
def real_side(world: World) -> Iterator[Side]:
    capacity = 8 * MiB
    paths = {target: world.image(f"contract-{target}.qcow2", str(capacity)) for target in ("vda", "vdb")}
    for path in paths.values():
        run(["qemu-io", "-c", f"write -P 7 0 {capacity}", str(path)])
    cd = world.image("contract.iso", "1M", "raw")
    channel = E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix")
    drive = disk(cd, "sda", "raw", device="cdrom", bus="sata")
    name = world.guest("contract", *(disk(path, target) for target, path in paths.items()), drive, channel)
    hypervisor = world.hypervisor
    uuid = world.domain(name).uuid

    def off() -> None:
        world.virsh("destroy", name)

    def on() -> None:
        world.virsh("start", name)

    def spoil(path: str, at: int) -> None:
        run(["qemu-io", "-c", f"write -P 8 {at} 512", path])

    def checkpoint(made: str) -> None:
        described = world.folder / f"{made}.xml"
        described.write_text(f"<domaincheckpoint><name>{made}</name></domaincheckpoint>")
        world.virsh("checkpoint-create", name, described)

    def more_cds() -> tuple[str, str]:
        one, other = world.image("one.iso", "1M", "raw"), world.image("other.iso", "1M", "raw")
        run(["qemu-io", "-f", "raw", "-c", "write -P 8 0 1M", str(one)])
        return str(one), str(other)

    def uefi() -> str:
        off()
        variables = world.lab.paths.pool("lab-a") / "contract_VARS.fd"
        give_uefi(world, name, variables)
        return str(variables)

    process = world.host.process(uuid)
    assert process is not None
    yield Side(
        hypervisor=hypervisor,
        host=world.host,
        name=name,
        uuid=uuid,
        pools=("lab-a", "lab-b"),
        folder=str(world.lab.paths.pool("lab-b")),
        capacity=capacity,
        scratch=f"{world.scratch}/contract",
        off=off,
        on=on,
        spoil=spoil,
        sleep=time.sleep,
        checkpoint=checkpoint,
        cd=str(cd),
        more_cds=more_cds,
        uefi=uefi,
    )
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)  # virsh destroy takes a second
    until(lambda: world.domain(name).state is DomainState.OFF, "libvirt has seen the end of QEMU")
