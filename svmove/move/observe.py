"""Where is the guest? Asked of three witnesses: live XML, inactive XML, and the files that QEMU holds open.

None of them is enough. libvirt may say "source" after it died between a finished job and saving its status,
the inactive XML is silently skipped when it differs, a vanished job proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from svmove.errors import NotFoundError
from svmove.model import Domain, DomainState, Mirror, Process
from svmove.moves import DiskPlan
from svmove.ports import Host, Hypervisor


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
    holds_source: bool
    holds_destination: bool
    destination_is_ours: bool  # the file at its path is the one that we made, by device and inode
    plan: DiskPlan

    @property
    def where(self) -> Where:
        source, destination = self.plan.source, self.plan.destination.path
        if self._names(source) and self.holds_source:
            return Where.SOURCE
        holds = self.holds_destination and self.destination_is_ours and not self.holds_source
        if self._names(destination) and holds and self.mirror is None:
            return Where.DESTINATION
        return Where.UNCLEAR

    @property
    def stale_start(self) -> bool:
        """It runs on its destination, and libvirt has not written that into the XML of the next start."""
        return (
            self.inactive == self.plan.source
            and self.live == self.plan.destination.path
            and replace(self, inactive=self.live).where is Where.DESTINATION
        )

    def _names(self, path: str) -> bool:
        return self.live == path and (self.inactive == path or not self.persistent)

    @property
    def settled(self) -> bool:
        """Proven on one side, and no job is about to change that."""
        where = self.where
        at_rest = self.mirror is None or not self.mirror.ending
        return where is Where.DESTINATION or (where is Where.SOURCE and at_rest)

    @property
    def copies(self) -> bool:
        """Our mirror runs on it."""
        return self.mirror is not None and self.mirror.path == self.plan.destination.path

    def __str__(self) -> str:
        held = [
            name for name, holds in (("source", self.holds_source), ("destination", self.holds_destination)) if holds
        ]
        return (
            f"{self.target}: live XML {self.live}, inactive XML {self.inactive}, "
            f"QEMU holds {' and '.join(held) or 'neither'}"
            + ("" if self.destination_is_ours else f", {self.plan.destination.path} is not the file that was made")
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
    def off(self) -> bool:
        """By libvirt AND by the host: a daemon that lost a running QEMU out of sight says so too."""
        return self.domain.state in (DomainState.OFF, DomainState.GONE) and self.process is None

    @property
    def off_on_source(self) -> bool:
        """Off, and a next start can be from nowhere but the sources."""
        gone = self.domain.state is DomainState.GONE
        return self.off and (gone or all(disk.inactive == disk.plan.source for disk in self.disks))

    @property
    def off_on_destination(self) -> bool:
        off = self.off and self.domain.state is DomainState.OFF
        return off and all(disk.inactive == disk.plan.destination.path for disk in self.disks)

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
        """Destinations that somebody put another file in place of. QEMU opens them by path at the pivot."""
        return tuple(
            disk.plan.destination.path
            for disk in self.disks
            if disk.copies and not (disk.destination_is_ours and disk.holds_destination)
        )

    def __str__(self) -> str:
        return f"domain {self.domain.state}; " + "; ".join(map(str, self.disks))


def observe(hypervisor: Hypervisor, host: Host, uuid: str, disks: Sequence[DiskPlan], made: Mapping[str, str]) -> Seen:
    """`made`: target → identity of the destination that we made.

    Raises HostError when QEMU can't be looked into.
    """
    try:
        domain = hypervisor.domain(uuid)
    except NotFoundError:
        domain = Domain(name="", uuid=uuid, state=DomainState.GONE, persistent=False, live=(), inactive=())
    process = host.process(uuid)
    seen = tuple(_disk(domain, process, host, disk, made.get(disk.target)) for disk in disks)
    return Seen(domain=domain, process=process, disks=seen)


def _disk(domain: Domain, process: Process | None, host: Host, plan: DiskPlan, made: str | None) -> DiskSeen:
    live, inactive = domain.disk(plan.target), domain.inactive_disk(plan.target)
    return DiskSeen(
        target=plan.target,
        live=live.path if live else None,
        inactive=inactive.path if inactive else None,
        persistent=domain.persistent,
        mirror=live.mirror if live else None,
        holds_source=process is not None and host.holds(process, plan.source),
        holds_destination=process is not None and host.holds(process, plan.destination.path),
        destination_is_ours=made is not None and host.identity(plan.destination.path) == made,
        plan=plan,
    )
