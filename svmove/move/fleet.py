"""All pools and disks of one libvirt as records, from few calls: `svmove.fleet`.

What is looked at is what is cheap: no image is opened, no guest is asked. So a disk that can move by all that is known
here may still be refused by the plan of its own move, which looks at everything.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from svmove import location
from svmove.errors import HostError, HypervisorError
from svmove.fleet import DiskKey, Fleet, FleetDisk, FleetPool, Loose, Stay
from svmove.latency import Latencies
from svmove.model import Disk, Domain, DomainState, Pool, Versions, Volume
from svmove.plan.choice import REMOVABLE
from svmove.plan.stays import Known, why_it_stays
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.survey import Survey


def look(hypervisor: Hypervisor, host: Host, pools: Iterable[str] | None = None) -> tuple[Survey, dict[str, str]]:
    """What libvirt says, after a look of its own into `pools` (None: all that are active); and the file systems of the
    pools that lie in a folder. A pool that can't be looked into is told of as it was.

    Raises UnreachableError, HypervisorError.
    """
    active = [pool for pool in hypervisor.pools() if pool.active]
    for pool in active:
        if pools is None or pool.name in pools:
            with suppress(HypervisorError):  # libvirt gives most pools up over that, and it shows
                hypervisor.refresh_pool(pool.name)
    filesystems = {}
    for pool in active:
        with suppress(HostError):  # then it counts as one of its own
            if pool.folder is not None and (found := host.filesystem(pool.folder)) is not None:
                filesystems[pool.name] = found
    return hypervisor.survey(), filesystems


def build(
    survey: Survey,
    filesystems: Mapping[str, str],
    versions: Versions,
    *,
    owners: Mapping[str, str],
    past_rates: Mapping[tuple[str, str], float],
    moved: Mapping[DiskKey, float],
    latencies: Latencies | None = None,
    emptying: Collection[str] = (),
) -> Fleet:
    """`owners`: moves that have not ended, by the domain's UUID."""
    survey = replace(survey, domains=tuple(_with_chains(domain, survey.backing) for domain in survey.domains))
    known = Known(
        volumes={location.identity(volume.path): volume for volume in survey.volumes},
        kinds={pool.name: pool.type for pool in survey.pools},
        users=_users(survey),
        versions=versions,
        owners=owners,
    )
    promised: Counter[str] = Counter()
    for volume in survey.volumes:
        promised[volume.pool] += volume.capacity
    disks: list[FleetDisk] = []
    loose: dict[str, Loose] = {}
    seen: set[str] = set()
    for domain in survey.domains:
        for disk in domain.disks:
            made = _disk(domain, disk, known, latencies)
            if made is not None and disk.path is not None:
                disks.append(made)
                seen.add(location.identity(disk.path))
    for domain in survey.domains:
        loose |= _parts(domain, known, seen)
    # Of a chain whose disk goes as well, the files below go with it; `_disk` has counted them.
    with_disks = {
        location.identity(below) for domain in survey.domains for disk in domain.disks for below in disk.chain
    } - loose.keys()
    for identity, volume in known.volumes.items():
        if identity not in seen and identity not in with_disks and identity not in loose:
            loose[identity] = _loose(volume, Stay(code="no-guest", text="no guest names it", remedy=None))
    return Fleet(
        pools=tuple(
            replace(_pool(pool, filesystems, promised[pool.name], latencies), emptying=pool.name in emptying)
            for pool in survey.pools
        ),
        disks=tuple(disks),
        loose=tuple(loose.values()),
        past_rates=past_rates,
        moved=moved,
    )


def _pool(pool: Pool, filesystems: Mapping[str, str], promised: int, latencies: Latencies | None) -> FleetPool:
    filesystem = filesystems.get(pool.name)
    return FleetPool(
        name=pool.name,
        type=pool.type,
        active=pool.active,
        capacity=pool.capacity,
        allocation=pool.allocation,
        available=pool.available,
        place=f"pool {pool.name}" if filesystem is None else filesystem,
        promised=promised,
        latency=None if latencies is None else latencies.pools.get(pool.name),
    )


def _with_chains(domain: Domain, backing: Mapping[str, str]) -> Domain:
    """The XML of a guest that is off does not name what lies below its disks; its pools do."""
    if domain.live or not backing:
        return domain
    return replace(domain, inactive=tuple(replace(disk, chain=_below(disk.path, backing)) for disk in domain.inactive))


def _below(path: str | None, backing: Mapping[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    while path is not None and (path := backing.get(path)) is not None and path not in found:
        found.append(path)
    return tuple(found)


def _users(survey: Survey) -> Counter[str]:
    found: Counter[str] = Counter()
    named = set()
    for domain in survey.domains:
        for disk in domain.disks:
            for path in (disk.path, *disk.chain):
                if path is not None:
                    found[location.identity(path)] += 1
                    named.add(location.identity(path))
    # A volume that is based on a file, and is no running guest's, uses it too.
    for top, below in survey.backing.items():
        if location.identity(top) not in named:
            found[location.identity(below)] += 1
    return found


def _disk(domain: Domain, disk: Disk, known: Known, latencies: Latencies | None) -> FleetDisk | None:
    """None: it is in no pool, or is a medium in a drive."""
    volume = known.volumes.get(location.identity(disk.path)) if disk.path else None
    if volume is None or disk.device in REMOVABLE:
        return None
    own = [
        below
        for path in disk.chain
        if (below := known.volumes.get(location.identity(path))) is not None
        and below.pool == volume.pool
        and known.users[location.identity(path)] == 1
    ]
    running = domain.state in (DomainState.RUNNING, DomainState.PAUSED)
    return FleetDisk(
        guest=domain.name,
        uuid=domain.uuid,
        target=disk.target,
        pool=volume.pool,
        volume=volume.name,
        capacity=volume.capacity,
        allocation=volume.allocation + sum(below.allocation for below in own),
        running=running,
        tags=domain.tags,
        # No file can be below a device, LUKS is moved between files, and a guest that is off is.
        files_only=bool(disk.chain) or disk.luks is not None or not running,
        stays=why_it_stays(domain, disk, known),
        load=0.0 if latencies is None else latencies.loads.get((domain.uuid, disk.target), 0.0),
    )


def _parts(domain: Domain, known: Known, disks: Iterable[str]) -> dict[str, Loose]:
    """What else a domain names: the media in its drives, its UEFI variables, what lies below its disks and stays."""
    found: dict[str, Loose] = {}

    def add(path: str | None, target: str | None, stay: Stay) -> None:
        identity = location.identity(path) if path else ""
        if (volume := known.volumes.get(identity)) is not None and identity not in disks:
            found[identity] = _loose(volume, stay, domain.name, target)

    for disk in domain.disks:
        if disk.device in REMOVABLE:
            text = f"in a drive of {domain.name}; a move changes it for a copy, and keeps it here"
            add(disk.path, disk.target, Stay(code="medium", text=text, remedy="delete it when no drive has it"))
        own = known.volumes.get(location.identity(disk.path)) if disk.path else None
        for path in disk.chain:
            below = known.volumes.get(location.identity(path))
            if below is None or own is None:
                continue
            if known.users[location.identity(path)] > 1:
                text = "several disks lie on it: a move copies it, and keeps it here"
                add(path, None, Stay(code="template", text=text, remedy="delete it when nothing lies on it any more"))
            elif below.pool != own.pool:
                text = f"below {domain.name}/{disk.target}, which is in pool {own.pool}"
                add(path, disk.target, Stay(code="backing", text=text, remedy="move that disk: its chain goes with it"))
    text = f"the UEFI variables of {domain.name}: they move only with a guest that is off"
    add(domain.nvram, None, Stay(code="nvram", text=text, remedy=f"shut it down; svmove move {domain.name}"))
    return found


def _loose(volume: Volume, stay: Stay, guest: str | None = None, target: str | None = None) -> Loose:
    return Loose(
        pool=volume.pool,
        volume=volume.name,
        allocation=volume.allocation,
        stays=stay,
        guest=guest,
        target=target,
    )


def pools_of(survey: Survey) -> dict[DiskKey, str]:
    """The pool of each disk that is in one."""
    volumes = {location.identity(volume.path): volume.pool for volume in survey.volumes}
    found = {
        (domain.uuid, disk.target): volumes.get(location.identity(disk.path))
        for domain in survey.domains
        for disk in domain.disks
        if disk.path
    }
    return {key: pool for key, pool in found.items() if pool is not None}
