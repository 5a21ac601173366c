"""Gathers what a plan is made from. Reads only; pools are refreshed, so that what they say is true now."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from svmove.errors import HostError, HypervisorError
from svmove.journal import Journal
from svmove.model import Agent, Disk, Domain, DomainState, Image, Inventory, Job, Volume
from svmove.moves import Request
from svmove.plan.choice import REMOVABLE
from svmove.ports import Host, Hypervisor

# An agent that runs answers within milliseconds, also under TCG.
_PATIENCE = 5.0


def gather(
    request: Request, hypervisor: Hypervisor, host: Host, journal: Journal, scratch: str, *, after: str | None = None
) -> Inventory:
    """`after`: the move that will have ended when this one begins. Raises NotFoundError for an unknown domain."""
    domain = hypervisor.find_domain(request.domain)
    pools = hypervisor.pools()
    wanted = {request.to} | {disk.pool for disk in request.disks}
    for pool in pools:
        if pool.active and pool.name in wanted:
            with suppress(HypervisorError):  # then its old figures count, and creating says what is wrong
                hypervisor.refresh_pool(pool.name)
    pools = hypervisor.pools()
    asked = {disk.target for disk in request.disks}
    meant = tuple(disk for disk in domain.disks if not asked or disk.target in asked)
    process = host.process(domain.uuid)
    can_read = process is None or host.can_see(process)
    # The journal knows of a move before its marker is in the domain; the marker tells of other hosts' moves.
    marker = journal.open_move(domain.uuid) or domain.marker
    if marker is not None and (marker == after or journal.has_ended(marker)):  # it could not be taken off
        marker = None
    return Inventory(
        domain=replace(domain, marker=marker),
        pools=pools,
        volumes=_volumes(meant, hypervisor),
        images=_images(meant, host) if can_read else {},
        names={pool.name: hypervisor.volume_names(pool.name) for pool in pools if pool.active and pool.name in wanted},
        used_elsewhere=_used_elsewhere(domain.uuid, meant, hypervisor, host),
        past_rates=journal.past_rates(),
        versions=hypervisor.versions(),
        scratch_free=host.free(scratch),
        jobs=_jobs(domain.uuid, meant, hypervisor) if domain.live else {},
        can_read_host=can_read,
        agent=_agent(domain, hypervisor) if request.trim or request.freeze else None,
    )


def _agent(domain: Domain, hypervisor: Hypervisor) -> Agent:
    running = domain.state is DomainState.RUNNING
    return hypervisor.agent(domain.uuid, _PATIENCE) if running else Agent.SILENT


def _volumes(disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, Volume]:
    found = {}
    for disk in disks:
        if disk.path and (volume := hypervisor.volume_at(disk.path)):
            found[disk.path] = volume
    return found


def _images(disks: Sequence[Disk], host: Host) -> dict[str, Image]:
    found = {}
    for disk in disks:
        if disk.path and disk.device in ("disk", *REMOVABLE):
            with suppress(HostError):  # admission says which disk has no image that can be read
                found[disk.path] = host.image(disk.path, disk.format)
    return found


def _used_elsewhere(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor, host: Host) -> dict[str, str]:
    """Path of each of our disks that somebody else names too, by whatever path → who."""
    others = {host.identity(path): who for path, who in hypervisor.paths_in_use(besides=uuid).items()}
    others.pop(None, None)
    ours = {disk.path: host.identity(disk.path) for disk in disks if disk.path}
    return {path: others[identity] for path, identity in ours.items() if identity in others}


def _jobs(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, str]:
    jobs: dict[str, Job | None] = {disk.target: hypervisor.job(uuid, disk.target) for disk in disks if disk.path}
    return {target: job.kind for target, job in jobs.items() if job is not None}
