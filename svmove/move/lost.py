"""A move whose journal is lost: what its marker in the domain tells becomes a held move in this journal.

The marker names both copies of each disk, so a person can decide; but it does not prove who made which file.
So whatever is decided, nothing of an adopted move is ever deleted.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from svmove import location
from svmove.errors import HostError
from svmove.journal import Journal, Kind, Record
from svmove.model import Domain, MarkedDisk
from svmove.move.observe import observe
from svmove.move.phases import Phase
from svmove.moves import Finding, Level, Plan
from svmove.policy import Policy
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.requests import Method, Verify
from svmove.volumes import DiskPlan, Overlay, VolumeSpec


def find(hypervisor: Hypervisor, move: str | None = None) -> tuple[Domain, ...]:
    """The domains that carry a marker: of that move, or of any."""
    found = []
    for name in hypervisor.domain_names():
        domain = hypervisor.find_domain(name)
        if domain.marker is not None and move in (None, domain.marker):
            found.append(domain)
    return tuple(found)


def adopt(
    journal: Journal, hypervisor: Hypervisor, host: Host, policy: Policy, domain: Domain, *, uri: str, now: float
) -> Record:
    """Records the move that the domain's marker tells of, as held. Raises RefusedError when another owns it."""
    assert domain.marker is not None
    disks = tuple(_plan(hypervisor, disk) for disk in domain.marked)
    finding = Finding(
        level=Level.WARN, code="adopted", text="the journal of this move was lost; nothing of it is deleted"
    )
    plan = Plan(
        move=domain.marker,
        domain=domain.name,
        uuid=domain.uuid,
        method=Method.SNAPSHOT if any(disk.overlay is not None for disk in disks) else Method.MIRROR,
        disks=disks,
        there=(),
        verify=Verify.NONE,
        max_pause=policy.move.max_pause,
        granularity=None,
        buffer=policy.mirror.buffer,
        findings=(finding,),
        copy_bytes=0,
        copy_seconds=0.0,
        created=now,
    )
    journal.begin(plan, uri, Phase.HELD)
    made = _destinations_in_use(host, plan)

    def write(kind: Kind, what: str, target: str | None, **data: object) -> None:
        journal.write(plan.move, now, Phase.HELD, kind, what, target, data)

    write(Kind.INTENT, "adopt", None)
    write(Kind.FACT, "adopted", None)
    for key, identity in made.items():
        write(Kind.FACT, "created", key, identity=identity)
    if plan.method is Method.SNAPSHOT:
        write(Kind.INTENT, "lay-over", None)  # as far as anybody knows
    seen = observe(hypervisor, host, plan.uuid, disks, made)
    text = f"the journal of this move was lost; its marker in the domain's metadata tells: {seen}"
    write(Kind.ERROR, "journal-lost", None, text=text, remedy=None)
    return journal.read(plan.move)


def _plan(hypervisor: Hypervisor, disk: MarkedDisk) -> DiskPlan:
    source = hypervisor.volume_at(disk.source)
    made = hypervisor.volume_at(disk.destination)
    spec = VolumeSpec(
        pool=disk.pool,
        name=disk.volume,
        path=disk.destination,
        format=disk.destination_format,
        capacity=0,
        luks=location.secret(disk.destination_luks) if disk.destination_luks else None,
    )
    return DiskPlan(
        target=disk.target,
        source=disk.source,
        source_format=disk.source_format,
        pool_from=source.pool if source else None,
        volume_from=source.name if source else None,
        destination=replace(spec, capacity=max(made.capacity - spec.header, 0) if made else 0),
        source_luks=location.secret(disk.source_luks) if disk.source_luks else None,
        copy_bytes=0,
        bandwidth=None,
        delete_source=False,
        overlay=_overlay(disk) if disk.overlay and disk.overlay_destination else None,
    )


def _overlay(disk: MarkedDisk) -> Overlay:
    def over(path: str, below: str, format_: str) -> VolumeSpec:
        # Its pool and capacity are for making it, and for deleting it, which is not done.
        name = PurePosixPath(path).name
        return VolumeSpec(
            pool="", name=name, path=path, format="qcow2", capacity=0, backing=below, backing_format=format_
        )

    return Overlay(
        source=over(disk.overlay, disk.source, disk.source_format),
        destination=over(disk.overlay_destination, disk.destination, disk.destination_format),
    )


def _destinations_in_use(host: Host, plan: Plan) -> Mapping[str, str]:
    """Key → identity of each destination that the guest's QEMU itself has open."""
    try:
        process = host.process(plan.uuid)
        return {
            key: identity
            for disk in plan.disks
            for key, spec in disk.made.items()
            if process is not None
            and spec.path in disk.destinations
            and host.holds(process, spec.path)
            and (identity := host.identity(spec.path)) is not None
        }
    except HostError:
        return {}
