"""Which pool: for all that lies in one that is to be emptied, and for volumes that are to be made. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from svmove.errors import NotFoundError, RefusedError
from svmove.fleet import Fleet, FleetDisk, FleetPool, Stay
from svmove.plan.candidates import bundles, some, takes, unfit
from svmove.plan.ledger import Bar, Bundle, Ledger, bundle
from svmove.plan.makespan import makespan
from svmove.plan.packing import pack
from svmove.plan.rounds import Step, in_rounds, proposals
from svmove.plan.rules import Rules
from svmove.policy import Policy
from svmove.proposals import ANY_VOLUME, Evacuation, NewVolume, Places, PoolOutlook, Unmovable, Why

_BARS = {
    Bar.ROOM: "no room",
    Bar.PROMISE: "overcommitted by it",
    Bar.APART: "has what it is to be apart from",
    Bar.NAME: "has a volume of that name",
}


def evacuate(fleet: Fleet, policy: Policy, pool: str, to: Sequence[str] = (), *, at_once: int = 2) -> Evacuation:
    """All that lies in a pool, to the pools `to`, or to any that takes it.

    Raises NotFoundError, and RefusedError when a pool that is named takes nothing.
    """
    left = known(fleet, pool)
    rules = Rules(policy.affinity, fleet.disks)
    targets = _targets(fleet, rules, left, to)
    disks = [disk for disk in fleet.disks if disk.pool == pool]
    found, stays = bundles(disks, targets, rules, policy)
    ledger = Ledger(fleet, rules, policy)
    packing = pack(found, ledger, slow_pools(fleet, policy))
    for number in packing.left:
        stay = _left_over(found[number], packing.ledger, rules)
        stays |= {str(disk.key): (disk, stay) for disk in found[number].disks}
    steps: list[Step] = [(found[number], packing.pools[number], Why.EVACUATE) for number in sorted(packing.pools)]
    moves = proposals(in_rounds(steps, ledger), fleet.past_rates)
    for what, _, _ in steps:
        packing.ledger.leave(what)
    concerned = [left, *targets]
    return Evacuation(
        pool=pool,
        to=tuple(target.name for target in targets),
        stays=_unmovable(fleet, pool, [stays[key] for key in sorted(stays)]),
        moves=moves,
        pools=outlook([p.name for p in concerned], ledger, packing.ledger),
        seconds=makespan(moves, at_once, policy.budgets),
        emptying=left.emptying,
    )


def place(
    fleet: Fleet,
    policy: Policy,
    size: int,
    *,
    count: int = 1,
    new: NewVolume = ANY_VOLUME,
    pools: Sequence[str] = (),
) -> Places:
    """Where `count` new volumes of `size` bytes are to be made.

    All of a volume must fit in what is free, unless it is thin and its pool's promises are limited: then they count.
    Raises NotFoundError.
    """
    for name in pools:
        known(fleet, name)
    guest = new.guest
    owner = next((disk for disk in fleet.disks if disk.guest == guest), None)
    if guest is not None and owner is None:
        raise NotFoundError("domain", guest, {disk.guest for disk in fleet.disks})
    made = [
        FleetDisk(
            guest=guest or "",
            uuid=owner.uuid if owner else f"new-{number}",
            target=f"new-{number}",
            pool="",
            volume="",
            capacity=size,
            allocation=size,
            running=False,
            tags=owner.tags if owner else (),
            files_only=new.files_only or (owner is not None and not owner.running),
        )
        for number in range(count)
    ]
    rules = Rules(policy.affinity, (*fleet.disks, *made))
    refused = {p.name: why for p in fleet.pools if (why := takes(p, rules)) is not None}
    open_ = [p for p in fleet.pools if p.name not in refused and (not pools or p.name in pools)]
    refused |= {p.name: why for p in open_ if (why := unfit(made[0], p, rules)) is not None}
    fitting = _with_its_own(rules, made[0], [p.name for p in open_ if p.name not in refused])
    wanted = [replace(bundle([disk], rules, policy), pools=fitting, blank=new.thin) for disk in made]
    ledger = Ledger(fleet, rules, policy)
    packing = pack(wanted, ledger, slow_pools(fleet, policy))
    bars = {name: bar for name in fitting if (bar := ledger.bar(wanted[0], name)) is not None}
    refused |= {name: _BARS[bar] for name, bar in bars.items()}
    return Places(
        pools=tuple(packing.pools.get(number) for number in range(count)),
        refused={name: why for name, why in refused.items() if not pools or name in pools},
        outlook=outlook(fitting, ledger, packing.ledger),
    )


def _with_its_own(rules: Rules, made: FleetDisk, fitting: Sequence[str]) -> tuple[str, ...]:
    """Of a guest whose disks are kept together: where they are."""
    number = rules.together.get(made.key)
    there = {disk.pool for disk in rules.members[number] if disk.pool} if number is not None else set()
    return tuple(name for name in fitting if name in there or not there)


def slow_pools(fleet: Fleet, policy: Policy) -> dict[str, bool]:
    """Those that are slower than they should be already."""
    slow = policy.balance.latency
    return {pool.name: pool.latency is not None and pool.latency > slow for pool in fleet.pools}


def outlook(names: Collection[str], before: Ledger, after: Ledger) -> tuple[PoolOutlook, ...]:
    return tuple(
        PoolOutlook(pool=name, fill=before.fill(name), fill_after=after.fill(name), latency=before.pools[name].latency)
        for name in names
        if name in before.pools
    )


def known(fleet: Fleet, name: str) -> FleetPool:
    """Raises NotFoundError with the nearest names."""
    if (pool := fleet.pool(name)) is None:
        raise NotFoundError("pool", name, (pool.name for pool in fleet.pools))
    return pool


def _targets(fleet: Fleet, rules: Rules, left: FleetPool, to: Sequence[str]) -> list[FleetPool]:
    """Those that are named; else all that take something and don't share the room of the one that is left."""
    if not left.active:
        raise RefusedError(f"pool {left.name} is not active", remedy=f"virsh pool-start {left.name}")
    if not to:
        others = (pool for pool in fleet.pools if pool.place != left.place)
        return [pool for pool in others if takes(pool, rules) is None]
    named = [known(fleet, name) for name in dict.fromkeys(to)]
    for pool in named:
        why = "it is the one that is to be emptied" if pool.name == left.name else takes(pool, rules)
        if why is not None:
            raise RefusedError(f"pool {pool.name} can't take anything: {why}", remedy="name another one with --to")
    return named


def _left_over(what: Bundle, ledger: Ledger, rules: Rules) -> Stay:
    bars = {name: bar for name in what.pools if (bar := ledger.bar(what, name)) is not None}
    told = "; ".join(f"{some(names)}: {_BARS[bar]}" for bar, names in _by_bar(bars).items())
    if (number := rules.together.get(what.disks[0].key)) is not None:
        told += f" (kept together by the rule {rules.why_together[number]})"
    if set(bars.values()) == {Bar.APART}:
        titles = sorted({rules.titles[rule] for (rule, _), _ in what.parties})
        told += f" (by the rule {', '.join(titles)})"
        return Stay(code="apart", text=told, remedy="name more pools with --to, or change affinity.apart in the policy")
    if set(bars.values()) == {Bar.PROMISE}:
        return Stay(code="overcommit", text=told, remedy="name more pools with --to, or raise overcommit in the policy")
    return Stay(code="no-room", text=told, remedy="free some, or name more pools with --to")


def _by_bar(bars: Mapping[str, Bar]) -> dict[Bar, list[str]]:
    return {bar: names for bar in Bar if (names := [name for name, found in bars.items() if found is bar])}


def _unmovable(fleet: Fleet, pool: str, stays: Sequence[tuple[FleetDisk, Stay]]) -> tuple[Unmovable, ...]:
    found = [
        Unmovable(
            pool=disk.pool,
            volume=disk.volume,
            allocation=disk.allocation,
            stay=stay,
            guest=disk.guest,
            target=disk.target,
        )
        for disk, stay in stays
    ]
    found += [
        Unmovable(
            pool=loose.pool,
            volume=loose.volume,
            allocation=loose.allocation,
            stay=loose.stays,
            guest=loose.guest,
            target=loose.target,
        )
        for loose in fleet.loose
        if loose.pool == pool
    ]
    return tuple(sorted(found, key=lambda one: (-one.allocation, one.volume)))
