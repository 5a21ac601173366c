"""Gathers what a plan is made from. Reads only; pools are refreshed, so that what they say is true now."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath

from svmove import location
from svmove.errors import HostError, HypervisorError
from svmove.fleet import FleetDisk
from svmove.journal import Journal
from svmove.model import (
    Agent,
    CopyWay,
    Disk,
    Domain,
    DomainState,
    Image,
    Inventory,
    Job,
    Pool,
    SourceKind,
    Volume,
    WriteRate,
)
from svmove.move import fleet, held, keys, taken
from svmove.move.keys import Secrets
from svmove.move.observe import same
from svmove.move.usage import in_use
from svmove.plan import estimate, granularity
from svmove.plan.choice import REMOVABLE
from svmove.policy import Policy
from svmove.ports import Clock, Hypervisor
from svmove.ports_host import Host
from svmove.redact import redact
from svmove.requests import Request
from svmove.volumes import NVRAM

# Of a copy that is limited, even a guest that writes little may decide: looked at for so long at least (seconds).
_LEAST_LOOK = 0.2

# An agent that runs answers within milliseconds, also under TCG.
_PATIENCE = 5.0


def gather(
    request: Request,
    hypervisor: Hypervisor,
    host: Host,
    journal: Journal,
    scratch: str,
    *,
    clock: Clock,
    policy: Policy,
    after: str | None = None,
) -> Inventory:
    """`after`: the move that will have ended when this one begins. Raises NotFoundError for an unknown domain."""
    domain = hypervisor.find_domain(request.domain)
    if not domain.live:
        domain = replace(domain, inactive=tuple(_with_chain(disk, host) for disk in domain.inactive))
    written = _Written(hypervisor, domain, clock)
    pools, troubles = hypervisor.pools(), dict[str, str]()
    wanted = {request.to} | {disk.pool for disk in request.disks}
    for pool in pools:
        if pool.active and (pool.name in wanted or _has_nvram(pool, domain)):
            try:
                hypervisor.refresh_pool(pool.name)
            except HypervisorError as error:
                # libvirt gives most pools up over that; of the others the old figures count.
                troubles[pool.name] = error.text
    pools = tuple(_with_room(pool, host) if pool.name in wanted else pool for pool in hypervisor.pools())
    names = {pool.name: hypervisor.volume_names(pool.name) for pool in pools if pool.active and pool.name in wanted}
    asked = {disk.target for disk in request.disks}
    meant = tuple(disk for disk in domain.disks if not asked or disk.target in asked)
    files = (*meant, *_variables(domain))
    secrets = keys.secrets(request, files, pools, hypervisor)
    full = keys.full(meant, host, secrets)
    opened = [disk for disk in files if disk.target not in full]  # who opens another one waits until there is room
    past_rates = journal.past_rates()
    to_take = [path for path in taken.to_take(request, meant, pools, names) if keys.opens(path, secrets)]
    process = host.process(domain.uuid)
    can_read = process is None or host.can_see(process)
    # The journal knows of a move before its marker is in the domain; the marker tells of other hosts' moves.
    marker = journal.open_move(domain.uuid) or domain.marker
    if marker is not None and (marker == after or journal.has_ended(marker)):  # it could not be taken off
        marker = None
    return Inventory(
        domain=replace(domain, marker=marker),
        pools=pools,
        volumes=_volumes(opened, hypervisor),
        images=_images(opened, host, secrets) if can_read else {},
        secrets=secrets,
        locked=keys.locked(opened, host, secrets) if can_read else {},
        names=names,
        used_elsewhere=_used_elsewhere(domain.uuid, files, hypervisor, host),
        past_rates=past_rates,
        versions=hypervisor.versions(),
        scratch_free=host.free(scratch),
        jobs=_jobs(domain.uuid, meant, hypervisor) if domain.live else {},
        can_read_host=can_read,
        unheld=held.elsewhere(meant, process, host) if can_read and domain.live else frozenset(),
        shut=held.shut(pools, wanted, scratch, process, host) if domain.live else frozenset(),
        agent=_agent(domain, hypervisor) if request.trim or request.freeze else None,
        taken=taken.look(to_take, domain.uuid, meant, hypervisor, host, troubles),
        troubles=troubles,
        filesystems=_filesystems(pools, wanted, host),
        buffered=_buffered(pools, wanted, host),
        full=full,
        shared=_shared(meant, host) if can_read else {},
        fleet=_fleet(domain, policy, hypervisor),
        promised=_promised([name for name in wanted if name is not None], policy, hypervisor),
        emptied=_emptied(hypervisor, journal) if after is None else frozenset(),  # else it has nowhere else to go
        offloads=_offloads(meant, request, pools, host) if can_read else {},
        writes=written.rates([disk.target for disk in meant], _expected(request, policy, past_rates), policy),
    )


def _with_room(pool: Pool, host: Host) -> Pool:
    """libvirt tells of no quotas."""
    with suppress(HypervisorError):  # its secret: which is told by `keys`
        if pool.active and pool.network is not None and (room := host.room_left(pool.network)) is not None:
            return replace(pool, available=max(min(pool.available, room), 0))
    return pool


def _promised(pools: Collection[str], policy: Policy, hypervisor: Hypervisor) -> dict[str, int]:
    """Of pools that may not be promised any much. All volumes are listed for it, in one call."""
    limited = {name for name in pools if policy.overcommit(name) is not None}
    found = dict.fromkeys(limited, 0)
    for volume in hypervisor.survey().volumes if limited else ():
        if volume.pool in found:
            found[volume.pool] += volume.capacity
    return found


def _has_nvram(pool: Pool, domain: Domain) -> bool:
    """libvirt itself makes that file, at the first start, and its pool knows nothing of it."""
    here = pool.folder is not None and domain.nvram is not None and not domain.live
    return here and PurePosixPath(domain.nvram or "").parent == PurePosixPath(pool.folder or "")


def _variables(domain: Domain) -> tuple[Disk, ...]:
    """The file of the UEFI variables, where it may move: of a guest that is off."""
    if domain.live or domain.nvram is None:
        return ()
    return (Disk(target=NVRAM, device="disk", kind=SourceKind.FILE, path=domain.nvram, format="raw"),)


def _with_chain(disk: Disk, host: Host) -> Disk:
    """What lies below a disk of a guest that is off: libvirt finds that out at the start only; the images know it."""
    if disk.path is None or disk.device != "disk" or disk.chain:
        return disk
    with suppress(HostError):  # admission says which disk has no image that can be read
        chain = host.chain(disk.path, disk.format)
        return replace(disk, chain=tuple(p for p, _ in chain), chain_formats=tuple(f for _, f in chain))
    return disk


def _expected(request: Request, policy: Policy, past_rates: Mapping[tuple[str, str], float]) -> tuple[float, bool]:
    """The copy's rate in bytes/s as far as it can be known now, and whether it is limited."""
    cap = policy.move.bandwidth if request.bandwidth is None else request.bandwidth
    rate = min(past_rates.values(), default=estimate.ASSUMED_RATE)
    return (rate if cap is None else min(rate, cap)), cap is not None


class _Written:
    """How fast the guest writes. Looked at for as long as the rest of the inventory takes, which costs no time (0.1 s);
    longer only when it writes so much that the copy's granularity depends on it."""

    def __init__(self, hypervisor: Hypervisor, domain: Domain, clock: Clock) -> None:
        self._hypervisor = hypervisor
        self._domain = domain
        self._clock = clock
        self._targets = [disk.target for disk in domain.live if disk.device == "disk" and disk.path]
        self._began = clock.monotonic()
        self._first = self._look(self._targets)

    def rates(self, targets: Sequence[str], expected: tuple[float, bool], policy: Policy) -> dict[str, WriteRate]:
        """By target. `expected`: the copy's rate, and whether that is a limit."""
        wanted, (copy_rate, limited) = [target for target in targets if target in self._first], expected
        if limited and wanted:
            self._wait(min(_LEAST_LOOK, policy.mirror.sample))
        found = self._rates(wanted)
        if any(granularity.matters(rate, copy_rate) for rate in found.values()):
            self._wait(policy.mirror.sample)
            found = self._rates(wanted)
        return found

    def _wait(self, seconds: float) -> None:
        left = self._began + seconds - self._clock.monotonic()
        if left > 0:
            self._clock.sleep(left)

    def _rates(self, targets: Sequence[str]) -> dict[str, WriteRate]:
        now, seconds = self._look(targets), self._clock.monotonic() - self._began
        found = {}
        for target, (requests, written) in now.items():
            before, bytes_before = self._first[target]
            # A guest that was started anew meanwhile counts from 0.
            more, more_bytes = max(requests - before, 0), max(written - bytes_before, 0)
            found[target] = WriteRate(
                requests=more / seconds if seconds else 0.0, bytes=more_bytes / seconds if seconds else 0.0
            )
        return found

    def _look(self, targets: Sequence[str]) -> dict[str, tuple[int, int]]:
        found = {}
        for target in targets:
            with suppress(HypervisorError):  # stopped, or unplugged: then it writes nothing
                found[target] = self._hypervisor.writes(self._domain.uuid, target)
        return found


def _emptied(hypervisor: Hypervisor, journal: Journal) -> frozenset[str]:
    return journal.campaigns.marked(journal.database.address(redact(hypervisor.uri)))


def _fleet(domain: Domain, policy: Policy, hypervisor: Hypervisor) -> tuple[FleetDisk, ...]:
    """Only a rule that concerns this guest is worth a look at all of them (2 s, of 1,000)."""
    if not policy.affinity.concerns(domain.name, [disk.target for disk in domain.disks], domain.tags):
        return ()
    found = fleet.build(hypervisor.survey(), {}, hypervisor.versions(), owners={}, past_rates={}, moved={})
    return found.disks


def _agent(domain: Domain, hypervisor: Hypervisor) -> Agent:
    running = domain.state is DomainState.RUNNING
    return hypervisor.agent(domain.uuid, _PATIENCE) if running else Agent.SILENT


def _volumes(disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, Volume]:
    found = {}
    for disk in disks:
        for path in (disk.path, *disk.chain):
            if path and (volume := hypervisor.volume_at(path)):
                found[path] = volume
    return found


def _images(disks: Sequence[Disk], host: Host, secrets: Secrets) -> dict[str, Image]:
    found = {}
    for disk in disks:
        if disk.path and disk.device in ("disk", *REMOVABLE) and keys.opens(disk.path, secrets):
            host.unlock(disk.path, disk.luks)
            for path, format_ in ((disk.path, disk.format), *zip(disk.chain, disk.chain_formats, strict=True)):
                with suppress(HostError):  # admission says which disk has no image that can be read
                    found[path] = host.image(path, format_)
    return found


def _filesystems(pools: Sequence[Pool], wanted: Collection[str | None], host: Host) -> dict[str, str]:
    """By pool, of those that something is to go to, and that lie in a folder."""
    found = {}
    for pool in pools:
        if pool.active and pool.name in wanted and pool.folder is not None:
            with suppress(HostError):  # then it counts as one of its own
                if (filesystem := host.filesystem(pool.folder)) is not None:
                    found[pool.name] = filesystem
    return found


def _buffered(pools: Sequence[Pool], wanted: Collection[str | None], host: Host) -> frozenset[str]:
    here = [(pool.name, pool.folder) for pool in pools if pool.active and pool.name in wanted]
    return frozenset(name for name, folder in here if folder is not None and host.takes_direct(folder) is False)


def _shared(disks: Sequence[Disk], host: Host) -> dict[str, int]:
    files = [(disk.target, disk.path) for disk in disks if disk.device == "disk"]
    return {target: host.shared(path) for target, path in files if path is not None and location.is_file(path)}


def _offloads(disks: Sequence[Disk], request: Request, pools: Sequence[Pool], host: Host) -> dict[str, CopyWay]:
    """By target, and of what lies below it; of a disk that is in no file, or whose pool is in no folder, nothing is
    known."""
    folders = {pool.name: pool.folder for pool in pools if pool.active}
    asked = {disk.target: disk.pool for disk in request.disks}
    found = {}
    for disk in disks:
        folder = folders.get(asked.get(disk.target) or request.to or "")
        if disk.path and folder and disk.device == "disk":
            for number, path in enumerate((disk.path, *disk.chain)):
                with suppress(HostError):
                    found[f"{disk.target}:{number}" if number else disk.target] = host.offload(path, folder)
    return found


def _used_elsewhere(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor, host: Host) -> dict[str, str]:
    """Path of each file of our disks that somebody else names too, by whatever path → who."""
    ours = {path for disk in disks for path in (disk.path, *disk.chain) if path}
    others = in_use(hypervisor, host, besides=uuid, ours=ours, certain=False)
    identities = {path: same(path, host) for path in ours}
    return {path: others[identity] for path, identity in identities.items() if identity in others}


def _jobs(uuid: str, disks: Sequence[Disk], hypervisor: Hypervisor) -> dict[str, str]:
    jobs: dict[str, Job | None] = {disk.target: hypervisor.job(uuid, disk.target) for disk in disks if disk.path}
    return {target: job.kind for target, job in jobs.items() if job is not None}
