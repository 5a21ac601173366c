"""Where is the guest? Asked of three witnesses: live XML, inactive XML, and the files that QEMU holds open.

None of them is enough. libvirt may say "source" after it died between a finished job and saving its status,
the inactive XML is silently skipped when it differs, a vanished job proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from svmove import location
from svmove.errors import NotFoundError
from svmove.model import Domain, DomainState, Mirror, Process
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.volumes import NVRAM, DiskPlan


class Where(StrEnum):
    SOURCE = "source"
    DESTINATION = "destination"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSeen:
    target: str
    live: str | None  # path in the live XML
    inactive: str | None  # path in the inactive XML
    persistent: bool
    mirror: Mirror | None
    held: frozenset[str]  # which of the plan's files QEMU has open
    ours: frozenset[str]  # at which of the plan's paths lies the very file that we made, by device and inode
    plan: DiskPlan

    @property
    def where(self) -> Where:
        plan = self.plan
        if self._names(plan.sources) and {self.live, plan.source} <= self.held:
            return Where.SOURCE
        holds = {self.live, plan.destination.path} <= self.held & self.ours and not self.held & set(plan.sources)
        if self._names(plan.destinations) and holds and (self.mirror is None or self.merges):
            return Where.DESTINATION
        return Where.UNCLEAR

    @property
    def stale_start(self) -> bool:
        """It runs on its destination, and libvirt has not written that into the XML of the next start."""
        stale = self.inactive == self.plan.leaves and self.live == self.plan.lands.path
        return stale and replace(self, inactive=self.live).where is Where.DESTINATION

    def _names(self, paths: Sequence[str]) -> bool:
        return self.live in paths and (self.inactive == self.live or not self.persistent)

    @property
    def holds_source(self) -> bool:
        return bool(self.held & set(self.plan.sources))

    @property
    def holds_destination(self) -> bool:
        return bool(self.held & set(self.plan.destinations))

    @property
    def destination_is_ours(self) -> bool:
        return self.ours >= set(self.plan.destinations)

    @property
    def _foreign(self) -> list[str]:
        return [path for path in self.plan.destinations if path not in self.ours]

    @property
    def merges(self) -> bool:
        """An overlay of ours is being merged into the file below it."""
        overlay = self.plan.overlay
        # At its end, before it names the file below as the disk's, libvirt shows the mirror without a job for a moment.
        if overlay is None or self.mirror is None or self.mirror.job not in ("active-commit", ""):
            return False
        return (self.live, self.mirror.path) in (
            (overlay.source.path, self.plan.source),
            (overlay.destination.path, self.plan.destination.path),
        )

    @property
    def settled(self) -> bool:
        """Proven on one side, and no job is about to change that."""
        where = self.where
        at_rest = self.mirror is None or not self.mirror.ending
        return at_rest and where is not Where.UNCLEAR

    @property
    def copies(self) -> bool:
        """Our mirror runs on it."""
        return self.mirror is not None and self.mirror.job == "copy" and self.mirror.path == self.plan.lands.path

    def __str__(self) -> str:
        held = [
            name for name, holds in (("source", self.holds_source), ("destination", self.holds_destination)) if holds
        ]
        return (
            f"{self.target}: live XML {self.live}, inactive XML {self.inactive}, "
            f"QEMU holds {' and '.join(held) or 'neither'}"
            + "".join(f", {path} is not the file that was made" for path in self._foreign)
            + (f", block job {self.mirror.job} to {self.mirror.path}" if self.mirror else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    domain: Domain
    process: Process | None
    disks: tuple[DiskSeen, ...]

    @property
    def where(self) -> Where:
        """Of all disks together."""
        found = {disk.where for disk in self.disks}
        return found.pop() if len(found) == 1 else Where.UNCLEAR

    def of(self, disks: Sequence[DiskPlan]) -> "Seen":
        """The same look, at some of the disks."""
        wanted = {disk.target for disk in disks}
        return replace(self, disks=tuple(disk for disk in self.disks if disk.target in wanted))

    @property
    def named(self) -> frozenset[str]:
        """Every path that the domain itself names, live or for its next start."""
        disks = (*self.domain.live, *self.domain.inactive)
        found = [path for disk in disks for path in (disk.path, *disk.chain)]
        found += [self.domain.live_nvram, self.domain.inactive_nvram]
        return frozenset(path for path in found if path is not None)

    @property
    def off(self) -> bool:
        """By libvirt AND by the host: a daemon that lost a running QEMU out of sight says so too."""
        return self.domain.state in (DomainState.OFF, DomainState.GONE) and self.process is None

    @property
    def off_on_source(self) -> bool:
        """Off, and a next start can be from nowhere but the sources."""
        gone = self.domain.state is DomainState.GONE
        return self.off and (gone or all(disk.inactive in disk.plan.sources for disk in self.disks))

    @property
    def off_on_destination(self) -> bool:
        off = self.off and self.domain.state is DomainState.OFF
        return off and all(disk.inactive in disk.plan.destinations for disk in self.disks)

    @property
    def all_copy(self) -> bool:
        return all(disk.copies for disk in self.disks)

    @property
    def all_ready(self) -> bool:
        return all(disk.copies and disk.mirror is not None and disk.mirror.ready for disk in self.disks)

    @property
    def all_go_on(self) -> bool:
        """All copy, ready or not, and nobody has asked any of them to pivot or to end."""
        return self.all_copy and not any(disk.mirror is not None and disk.mirror.ending for disk in self.disks)

    @property
    def replaced(self) -> tuple[str, ...]:
        """Destinations that somebody put another file in place of. QEMU opens them by path at the pivot, and only then
        what lies below them."""
        return tuple(
            path
            for disk in self.disks
            if disk.copies
            for path in disk.plan.destinations
            if path not in disk.ours or (path == disk.plan.lands.path and path not in disk.held)
        )

    def __str__(self) -> str:
        return f"domain {self.domain.state}; " + "; ".join(map(str, self.disks))


def observe(
    hypervisor: Hypervisor,
    host: Host,
    uuid: str,
    disks: Sequence[DiskPlan],
    made: Mapping[str, str],
    *,
    asks_qemu: bool = True,
) -> Seen:
    """`made`: identity of each volume that we made, by its key (`DiskPlan.made`). `asks_qemu`: else images on the
    network count as not open, which proves nothing.

    Raises HostError when QEMU can't be looked into.
    """
    try:
        domain = hypervisor.domain(uuid)
    except NotFoundError:
        domain = Domain(name="", uuid=uuid, state=DomainState.GONE, persistent=False, live=(), inactive=())
    process = host.process(uuid)
    files = {path for disk in disks for path in (*disk.sources, *disk.destinations)}
    opened: frozenset[str] = frozenset()
    if asks_qemu and domain.live and any(map(location.is_network, files)):
        opened = hypervisor.opened(uuid)
    held = frozenset(path for path in files if _is_held(path, process, host, opened))
    seen = tuple(_disk(domain, held, host, disk, made) for disk in disks)
    return Seen(domain=domain, process=process, disks=seen)


def _is_held(path: str, process: Process | None, host: Host, opened: frozenset[str]) -> bool:
    if location.is_network(path):
        return location.identity(path) in opened
    return process is not None and host.holds(process, path)


def same(path: str, host: Host) -> str | None:
    """What tells whether two locations are one image. Of one on the network by its name alone, so that the storages
    of all guests need not be asked; None: there is no such file."""
    return location.identity(path) if location.is_network(path) else host.identity(path)


def _disk(domain: Domain, held: frozenset[str], host: Host, plan: DiskPlan, made: Mapping[str, str]) -> DiskSeen:
    live, inactive = domain.disk(plan.target), domain.inactive_disk(plan.target)
    paths = (live.path if live else None, inactive.path if inactive else None)
    if plan.target == NVRAM:
        paths = (domain.live_nvram, domain.inactive_nvram)
    ours = {spec.path: made[key] for key, spec in plan.made.items() if key in made and spec.path in plan.destinations}
    return DiskSeen(
        target=plan.target,
        live=paths[0],
        inactive=paths[1],
        persistent=domain.persistent,
        mirror=live.mirror if live else None,
        held=held & {*plan.sources, *plan.destinations},
        ours=frozenset(path for path, identity in ours.items() if same(path, host) == identity),
        plan=plan,
    )
