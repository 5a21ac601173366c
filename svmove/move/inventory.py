"""Gathers what a plan is made from. Reads only; pools are refreshed, so that what they say is true now."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from svmove.errors import HostError, HypervisorError
from svmove.journal import Journal
from svmove.model import Disk, Image, Inventory, Job, Volume
from svmove.moves import Request
from svmove.ports import Host, Hypervisor


def gather(
    request: Request, hypervisor: Hypervisor, host: Host, journal: Journal, scratch: str, *, after: str | None = None
) -> Inventory:
    """`after`: the move that will have ended when this one begins. Raises NotFoundError for an unknown domain."""
    domain = hypervisor.find_domain(request.domain)
    if not domain.live:
        domain = replace(domain, inactive=tuple(_with_chain(disk, host) for disk in domain.inactive))
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
    )


def _with_chain(disk: Disk, host: Host) -> Disk:
    """What lies below a disk of a guest that is off: libvirt finds that out at the start only; the images know it."""
    if disk.path is None or disk.device != "disk" or disk.chain:
        return disk
    with suppress(HostError):  # admission says which disk has no image that can be read
        chain = host.chain(disk.path, disk.format)
        return replace(disk, chain=tuple(p for p, _ in chain), chain_formats=tuple(f for _, f in chain))
    return disk


def _volumes(disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, Volume]:
    found = {}
    for disk in disks:
        for path in (disk.path, *disk.chain):
            if path and (volume := hypervisor.volume_at(path)):
                found[path] = volume
    return found


def _images(disks: Sequence[Disk], host: Host) -> dict[str, Image]:
    found = {}
    for disk in disks:
        if disk.path and disk.device == "disk":
            for path, format_ in ((disk.path, disk.format), *zip(disk.chain, disk.chain_formats, strict=True)):
                with suppress(HostError):  # admission says which disk has no image that can be read
                    found[path] = host.image(path, format_)
    return found


def _used_elsewhere(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor, host: Host) -> dict[str, str]:
    """Path of each file of our disks that somebody else names too, by whatever path → who."""
    ours = {path for disk in disks for path in (disk.path, *disk.chain) if path}
    used = hypervisor.paths_in_use(besides=uuid, ours=ours)
    others = {host.identity(path): who for path, who in used.items()}
    others.pop(None, None)
    identities = {path: host.identity(path) for path in ours}
    return {path: others[identity] for path, identity in identities.items() if identity in others}


def _jobs(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, str]:
    jobs: dict[str, Job | None] = {disk.target: hypervisor.job(uuid, disk.target) for disk in disks if disk.path}
    return {target: job.kind for target, job in jobs.items() if job is not None}
