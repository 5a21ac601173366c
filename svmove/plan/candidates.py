"""What may move, as what, and to which pools: before any room is looked at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from svmove.fleet import FleetDisk, FleetPool, Stay
from svmove.plan.ledger import Bundle, bundle
from svmove.plan.places import KINDS
from svmove.plan.rules import Rules
from svmove.policy import Policy


def takes(pool: FleetPool, rules: Rules) -> str | None:
    """Why a pool takes nothing at all; None: it does."""
    kind = KINDS.get(pool.type)
    if not pool.active:
        return "not active"
    if kind is None or not kind.makes:
        return f"volumes of type {pool.type} are not made for a move"
    if pool.emptying:
        return "it is being emptied (svmove evacuate)"
    return "closed by affinity.closed" if rules.closed(pool.name) else None


def unfit(disk: FleetDisk, pool: FleetPool, rules: Rules) -> str | None:
    """Why a disk may not be in a pool that takes some; None: it may."""
    kind = KINDS.get(pool.type)
    if disk.files_only and (kind is None or not kind.files):
        return "not a pool of files"
    if (rule := rules.pinned_elsewhere(disk, pool.name)) is not None:
        return f"pinned elsewhere by {rule}"
    return None


def bundles(
    disks: Sequence[FleetDisk],
    pools: Sequence[FleetPool],
    rules: Rules,
    policy: Policy,
) -> tuple[list[Bundle], dict[str, tuple[FleetDisk, Stay]]]:
    """Of one pool's disks: those that go together, each with the pools that may have it; and those that stay, with
    the reason (by `str(key)`)."""
    stays: dict[str, tuple[FleetDisk, Stay]] = {}
    parts: dict[object, list[FleetDisk]] = {}
    for disk in disks:
        stay = _own_reason(disk, rules)
        if stay is not None:
            stays[str(disk.key)] = (disk, stay)
        parts.setdefault(rules.together.get(disk.key, disk.key), []).append(disk)
    found = []
    for part in parts.values():
        kept = [disk for disk in part if str(disk.key) in stays]
        if kept and len(kept) < len(part):
            for disk in part:
                if disk not in kept:
                    stays[str(disk.key)] = (disk, _bound(disk, kept[0], rules))
        elif not kept:
            what = bundle(part, rules, policy)
            fitting, why_not = _fitting(part, pools, rules)
            if fitting:
                found.append(replace(what, pools=_near(part, fitting, rules)))
            else:
                stays |= {str(disk.key): (disk, _nowhere(why_not)) for disk in part}
    return found, stays


def _own_reason(disk: FleetDisk, rules: Rules) -> Stay | None:
    if disk.stays is not None:
        return disk.stays
    if (rule := rules.excluded(disk)) is not None:
        return Stay(
            code="excluded", text=f"excluded by the rule {rule}", remedy="change affinity.exclude in the policy"
        )
    return None


def _bound(disk: FleetDisk, to: FleetDisk, rules: Rules) -> Stay:
    rule = rules.why_together[rules.together[disk.key]]
    return Stay(code="together", text=f"kept with {to}, which stays, by the rule {rule}", remedy=f"see to {to} first")


def _fitting(
    part: Iterable[FleetDisk], pools: Sequence[FleetPool], rules: Rules
) -> tuple[tuple[str, ...], dict[str, str]]:
    why_not: dict[str, str] = {}
    for pool in pools:
        whys = (unfit(disk, pool, rules) for disk in part)
        if (why := next((why for why in whys if why is not None), None)) is not None:
            why_not[pool.name] = why
    return tuple(pool.name for pool in pools if pool.name not in why_not), why_not


def _near(part: Sequence[FleetDisk], fitting: tuple[str, ...], rules: Rules) -> tuple[str, ...]:
    """Of a group that lies in several pools already: where the others are, if they may go there."""
    number = rules.together.get(part[0].key)
    if number is None:
        return fitting
    others = {disk.pool for disk in rules.members[number]} - {part[0].pool}
    return tuple(pool for pool in fitting if pool in others) or fitting


def _nowhere(why_not: Mapping[str, str]) -> Stay:
    """No pool may have it, whatever room there is."""
    reasons: dict[str, list[str]] = {}
    for pool, why in why_not.items():
        reasons.setdefault(why, []).append(pool)
    told = "; ".join(f"{some(pools)}: {why}" for why, pools in reasons.items()) or "there is no other pool"
    return Stay(
        code="no-pool", text=f"no pool may take it ({told})", remedy="name others with --to, or change the rules"
    )


def some(names: Sequence[str]) -> str:
    """The first of these names: there may be hundreds."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
