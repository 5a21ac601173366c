"""The lab as the tests use it: the command line as a user has it, small guests of odd shapes, what is where."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree
from lxml.builder import E

from svmove.errors import SvmoveError
from svmove.journal import Journal
from svmove.lab import Lab
from svmove.lab.errors import LabError
from svmove.lab.specs import LAB_GUEST
from svmove.model import Domain, DomainState
from svmove.mover import Mover
from svmove.outcomes import State
from svmove.policy import Policy
from svmove.ports import Clock, Hypervisor
from svmove.ports_host import Host
from svmove.reach import reach
from svmove.requests import Request
from tests.real.cli import Cli
from tests.real.network import HERE
from tests.real.sshd import Server

GUEST = "lab-guest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where svmove finds the lab: here, or on another host, which it reaches by `server` alone."""

    lab: Lab
    server: Server | None = None


class World:
    def __init__(self, place: Place, folder: Path) -> None:
        self.lab = lab = place.lab
        self.folder = folder
        self.virsh = lab.virsh
        self.cli = Cli(lab, place.server, folder)
        self.network = place.server.network if place.server is not None else HERE
        reached = reach(self.cli.uri, Policy())
        self.hypervisor, self.host = reached.hypervisor, reached.host
        self.scratch = reached.scratch or str(self.cli.scratch)  # its path where the hypervisor is
        # For a move whose svmove dies in its cutover. Who looks after the guest then comes over SSH first, which takes
        # seconds on a busy machine, and what is not frozen within the pause can't be proven any more.
        self.max_pause = 2.0 if place.server is None else 8.0

    def mover(
        self,
        *,
        hypervisor: Hypervisor | None = None,
        host: Host | None = None,
        journal: Journal | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> Mover:
        policy = policy or Policy()
        return Mover(
            hypervisor or self.hypervisor,
            host or self.host,
            journal or Journal(str(self.cli.journal)),
            policy,
            clock,
            scratch=policy.paths.scratch or self.scratch,
        )

    @property
    def journal_folder(self) -> Path:
        return self.cli.journal.parent

    def domain(self, name: str = GUEST) -> Domain:
        return self.hypervisor.find_domain(name)

    def where(self, name: str = GUEST) -> dict[str, str]:
        """Disk → pool's folder, when live and inactive XML agree; a KeyError is a test that failed."""
        domain = self.domain(name)
        live = {disk.target: disk.path or "" for disk in domain.live}
        inactive = {disk.target: disk.path or "" for disk in domain.inactive}
        assert live == inactive
        return {target: Path(path).parent.name for target, path in live.items()}

    def path(self, target: str, name: str = GUEST) -> Path:
        disk = self.domain(name).disk(target)
        assert disk is not None
        assert disk.path is not None
        return Path(disk.path)

    def other(self, target: str = "vda", name: str = GUEST) -> str:
        """The pool that the disk is not in."""
        return "lab-b" if self.path(target, name).parent.name == "lab-a" else "lab-a"

    def files(self) -> set[Path]:
        """All that lies in the two pools."""
        return {path for pool in ("lab-a", "lab-b") for path in self.lab.paths.pool(pool).iterdir()}

    def elements(self, name: str = GUEST, *options: str) -> dict[str, str]:
        """Each <disk> as text, without what a move is there to change."""
        described = etree.fromstring(self.virsh("dumpxml", name, *options).encode())
        found = {}
        for disk in described.iterfind("devices/disk"):
            for child in ("source", "backingStore"):
                for element in disk.findall(child):
                    disk.remove(element)
            target = disk.find("target")
            assert target is not None
            found[target.get("dev", "")] = etree.tostring(disk, method="c14n").decode()
        return found

    def state(self, *names: str) -> tuple[Any, ...]:
        """All that a refused move could have touched."""
        return (
            {path: path.stat().st_size for path in self.files()},
            {
                name: (self.elements(name), self.elements(name, "--inactive"), self.domain(name).marker)
                for name in names
            },
            {name: [(d.path, d.mirror is not None) for d in self.domain(name).live] for name in names},
        )

    def start_guest(self) -> None:
        """The lab's guest, after a fault that ended it: it starts from what its XML names, and writes."""
        since = self.lab.console.stat().st_size
        self.lab.add_guest(LAB_GUEST)
        self.lab._await_writes(["vda", "vdb"], since, 60.0, samples=1)

    def end_lost_guest(self) -> bool:
        """A guest that libvirt calls off, and that runs: it was killed in the middle of a block job's end."""
        domain = self.domain()
        if domain.state is not DomainState.OFF or (process := self.host.process(domain.uuid)) is None:
            return False
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: self.host.process(domain.uuid) is None, "the guest has ended")
        return True

    def together(self) -> None:
        """Both disks of the lab's guest are in one pool; a test that moved one may have come before."""
        if len(set(self.where().values())) > 1:
            outcome = self.mover().move(Request(domain=GUEST, to=self.path("vda").parent.name))
            assert outcome.state is State.DONE, outcome

    def tidy(self) -> None:
        """What a test that failed, or a held move, leaves on the lab's guest: the next test needs it as it was."""
        with suppress(SvmoveError):
            self.hypervisor.reconnect()
        domain = self.domain()
        for disk in domain.live:
            if disk.mirror is not None:
                with suppress(LabError):
                    self.virsh("blockjob", GUEST, disk.target, "--abort")
        if domain.job:
            with suppress(LabError):
                self.virsh("domjobabort", GUEST)
        if domain.marker is not None:
            self.hypervisor.set_marker(domain.uuid, None)
        if domain.live and [disk.path for disk in domain.live] != [disk.path for disk in domain.inactive]:
            sources = {disk.target: (disk.path or "", disk.format) for disk in domain.live}
            self.hypervisor.set_sources(domain.uuid, sources, running=True)
        if domain.state is DomainState.PAUSED:
            self.virsh("resume", GUEST)
        elif domain.state is DomainState.OFF:
            self.end_lost_guest()
            self.start_guest()

    def image(self, name: str, size: str = "8M", format_: str = "qcow2", *options: str, pool: str = "lab-a") -> Path:
        path = self.lab.paths.pool(pool) / name
        command = ["qemu-img", "create", "-q", "-f", format_, *options, "--", str(path), size]
        subprocess.run(command, check=True)
        self.virsh("pool-refresh", pool)
        return path

    def guest(self, name: str, *devices: etree._Element, start: bool = True, iothreads: int = 0) -> str:
        """A guest without an operating system, that sits in its firmware."""
        element = E.domain(
            E.name(name),
            E.memory("64", unit="MiB"),
            E.vcpu("1"),
            E.os(E.type("hvm", arch="x86_64")),
            E.devices(E.controller(type="usb", model="none"), E.memballoon(model="none"), *devices),
            type="qemu",
        )
        if iothreads:
            element.append(E.iothreads(str(iothreads)))
        self.virsh.define("define", element)
        if start:
            self.virsh("start", name)
        return name


def uefi(world: World, name: str, variables: Path) -> None:
    """That guest, which is off, has UEFI from now on. libvirt makes the file of its variables at the first start."""
    described = etree.fromstring(world.virsh("dumpxml", name, "--inactive").encode())
    described.append(E.features(E.acpi()))  # libvirt wants it beside UEFI
    system = described.find("os")
    assert system is not None
    system.append(E.loader("/usr/share/OVMF/OVMF_CODE_4M.fd", type="pflash", readonly="yes"))
    system.append(E.nvram(str(variables), template="/usr/share/OVMF/OVMF_VARS_4M.fd"))
    world.virsh.define("define", described)


def disk(path: Path | None, target: str = "vda", format_: str = "qcow2", **more: str) -> etree._Element:
    """`more`: device, bus, and flags such as shareable="" that become empty elements."""
    element = E.disk(type="file", device=more.pop("device", "disk"))
    element.append(E.driver(name="qemu", type=format_, discard="unmap"))
    if path is not None:
        element.append(E.source(file=str(path)))
    element.append(E.target(dev=target, bus=more.pop("bus", "virtio")))
    for name in more:
        element.append(etree.Element(name))
    return element


def until(holds: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def copying(world: World, targets: Sequence[str] = ("vda", "vdb")) -> bool:
    """A copy runs on each disk, and has begun to move data."""
    domain = world.domain()
    jobs = [world.hypervisor.job(domain.uuid, target) for target in targets]
    return all(job is not None and job.done > 0 and job.end > 1 for job in jobs)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def passable(folder: Path) -> Path:
    """QEMU's user must be able to pass through."""
    folder.chmod(0o711)
    return folder
