"""Fleets for tests: records with sensible defaults, and what must hold of any proposal, checked without any of the code
that makes them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from svmove.affinity import pool_matches
from svmove.fleet import Fleet, FleetDisk, FleetPool
from svmove.policy import Policy, SpacePolicy
from svmove.proposals import Proposal
from svmove.units import GiB

# No reserve and no growth, so that an example's sums can be done in the head.
PLAIN = SpacePolicy(reserve=0, growth=0.0)


def pool(name: str, free: int = 50, of: int = 100, **changed: Any) -> FleetPool:
    """Sizes in GiB."""
    return FleetPool(
        **{
            "name": name,
            "type": "dir",
            "active": True,
            "capacity": of * GiB,
            "allocation": (of - free) * GiB,
            "available": free * GiB,
            "place": name,
            **changed,
        }
    )


def disk(name: str, size: int = 10, where: str = "old", **changed: Any) -> FleetDisk:
    """`name`: GUEST/TARGET; `size` in GiB, all of it allocated."""
    guest, _, target = name.partition("/")
    return FleetDisk(
        **{
            "guest": guest,
            "uuid": f"uuid-{guest}",
            "target": target or "vda",
            "pool": where,
            "volume": f"{guest}-{target or 'vda'}.qcow2",
            "capacity": size * GiB,
            "allocation": size * GiB,
            "running": True,
            **changed,
        }
    )


def fleet(pools: Iterable[FleetPool], disks: Iterable[FleetDisk], **changed: Any) -> Fleet:
    made = Fleet(pools=tuple(pools), disks=tuple(disks), **changed)
    promised: dict[str, int] = defaultdict(int)
    for one in made.disks:
        promised[one.pool] += one.capacity
    import dataclasses

    known = tuple(dataclasses.replace(one, promised=one.promised or promised[one.name]) for one in made.pools)
    return dataclasses.replace(made, pools=known)


def to(moves: Sequence[Proposal]) -> dict[str, str]:
    return {f"{move.guest}/{move.target}": move.pool_to for move in moves}


def check(found: Fleet, policy: Policy, moves: Sequence[Proposal]) -> None:
    """No step overfills a pool or breaks a rule that held before."""
    disks = {one.key: one for one in found.disks}
    pools = {one.name: one for one in found.pools}
    at = {one.key: {one.pool} for one in found.disks}
    used: dict[str, int] = defaultdict(int)  # beyond what is taken now, by place
    promised = {one.name: one.promised for one in found.pools}
    met = _meetings(found, policy, {key: set(where) for key, where in at.items()})
    assert [move.round for move in moves] == sorted(move.round for move in moves)
    for number in sorted({move.round for move in moves}):
        current = [move for move in moves if move.round == number]
        # The worst instant: all of the round have arrived, and none has left.
        for move in current:
            one = disks[move.uuid, move.target]
            assert move.pool_from in at[one.key]
            assert one.stays is None, f"{one} can't move"
            assert not any(e.has_guest(one.guest, one.tags) for e in policy.affinity.exclude)
            assert not policy.affinity.is_closed(move.pool_to)
            for pin in policy.affinity.pin:
                if pin.has_guest(one.guest, one.tags) or pin.has_disk(one.guest, one.target):
                    assert pool_matches(pin.pools, move.pool_to)
            taken = {disks[key].volume for key, where in at.items() if move.pool_to in where}
            assert one.volume not in taken
            at[one.key].add(move.pool_to)
            used[pools[move.pool_to].place] += one.allocation
            promised[move.pool_to] += one.capacity
        for move in current:
            into = pools[move.pool_to]
            assert used[into.place] <= into.available - policy.reserve(into.name), f"{into.name} is too full"
            limit = policy.overcommit(into.name)
            assert limit is None or promised[into.name] <= limit * into.capacity
        now = _meetings(found, policy, at)
        assert now - met == set(), "two that are to be apart meet"
        for move in current:
            one = disks[move.uuid, move.target]
            at[one.key].discard(move.pool_from)
            used[pools[move.pool_from].place] -= one.allocation
            promised[move.pool_from] -= one.capacity
    _check_together(found, policy, {key: next(iter(where)) for key, where in at.items()})


def _meetings(found: Fleet, policy: Policy, at: dict[tuple[str, str], set[str]]) -> set[tuple[int, str, str, str]]:
    """Pairs of an `apart` rule that share a pool."""
    met = set()
    for number, rule in enumerate(policy.affinity.apart):
        for a in found.disks:
            for b in found.disks:
                if a.key >= b.key or not at[a.key] & at[b.key]:
                    continue
                by_guest = [rule.has_guest(one.guest, one.tags) for one in (a, b)]
                by_disk = [rule.has_disk(one.guest, one.target) for one in (a, b)]
                if not all(g or d for g, d in zip(by_guest, by_disk, strict=True)):
                    continue
                if (a.uuid == b.uuid) if rule.each_guest else (a.uuid != b.uuid or not all(by_guest)):
                    met |= {(number, str(a), str(b), where) for where in at[a.key] & at[b.key]}
    return met


def _check_together(found: Fleet, policy: Policy, at: dict[tuple[str, str], str]) -> None:
    for rule in policy.affinity.together:
        groups: dict[str, list[FleetDisk]] = defaultdict(list)
        for one in found.disks:
            if rule.has_guest(one.guest, one.tags) or rule.has_disk(one.guest, one.target):
                groups[one.uuid if rule.each_guest else ""].append(one)
        for group in groups.values():
            before, after = {one.pool for one in group}, {at[one.key] for one in group}
            assert len(after) <= len(before), "what was together is not any more"
