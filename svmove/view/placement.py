"""What is proposed of a fleet, as tables and as JSON documents (docs/json.md)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from svmove.outcomes import Outcome
from svmove.proposals import Agreed, Balance, Carried, Evacuation, Places, PoolOutlook, Proposal, Unmovable, reason
from svmove.units import show_duration, show_size
from svmove.view import tables
from svmove.view.document import SCHEMA, move


def evacuation(found: Evacuation) -> RenderableType:
    """What stays comes first: somebody has to see to it."""
    parts: list[RenderableType] = []
    if found.stays:
        parts.append(Text(f"{len(found.stays)} can't move:", style="yellow"))
        parts.append(_stays(found.stays))
    if found.moves:
        parts.append(_moves(found.moves))
        parts.append(_pools(found.pools))
    parts.append(
        Text(
            f"{len(found.moves)} disks, {show_size(found.copy_bytes)}, in about {show_duration(found.seconds)}"
            if found.moves
            else "nothing would be moved"
        )
    )
    return Group(*parts)


def emptied(found: Carried[Evacuation]) -> RenderableType:
    """What was done, and what is left to a person."""
    parts = _failed(found.failed)
    if found.plan.stays:
        parts.append(Text(f"{len(found.plan.stays)} can't move:", style="yellow"))
        parts.append(_stays(found.plan.stays))
    end = f"svmove evacuate {found.plan.pool} --end lets it take new disks again"
    disks = sum(len(outcome.disks) for outcome in found.moved)
    parts.append(Text(f"{disks} disks of {len(found.moved)} guests moved; {state(found)}; {end}"))
    return Group(*parts)


def _failed(outcomes: Sequence[Outcome]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for outcome in outcomes:
        line = Text(f"{outcome.domain}: {outcome.state}, ", style="yellow")
        line.append(reason(outcome), style="default")
        if outcome.move is not None:
            line.append(f" (svmove show {outcome.move})", style="dim")
        parts.append(line)
    return parts


def balanced(found: Carried[Agreed]) -> RenderableType:
    parts = _failed(found.failed)
    disks = sum(len(outcome.disks) for outcome in found.moved)
    parts.append(Text(f"{disks} disks of {len(found.moved)} guests moved; {_balanced_state(found)}"))
    if found.plan.balance.recommendations:
        parts.append(Text("more is to be gained: svmove balance", style="dim"))
    return Group(*parts)


def balanced_document(found: Carried[Agreed]) -> dict[str, Any]:
    """What is recommended now, and what was done."""
    return {
        **balance_document(found.plan.balance, None),
        "state": _balanced_state(found),
        "moved": [move(outcome) for outcome in found.moved],
        "failed": [move(outcome) for outcome in found.failed],
    }


def _balanced_state(found: Carried[Agreed]) -> str:
    if found.interrupted:
        return "interrupted"
    return "left" if found.failed or found.plan.moves else "done"


def state(found: Carried[Evacuation]) -> str:
    if found.interrupted:
        return "interrupted"
    return "left" if found.failed or found.plan.stays or found.plan.moves else "empty"


def emptied_document(found: Carried[Evacuation]) -> dict[str, Any]:
    return {
        **evacuation_document(found.plan),
        "state": state(found),
        "moved": [move(outcome) for outcome in found.moved],
        "failed": [move(outcome) for outcome in found.failed],
    }


def _stays(stays: Sequence[Unmovable]) -> RenderableType:
    rows = [
        (
            f"{one.guest}/{one.target}" if one.target else one.guest or "",
            one.volume,
            show_size(one.allocation),
            f"{one.stay.code}: {one.stay.text}",
            one.stay.remedy or "",
        )
        for one in stays
    ]
    return tables.table(("disk", "volume", "allocated", "why", "what helps"), rows, right=("allocated",))


def _moves(moves: Sequence[Proposal]) -> RenderableType:
    rows = [
        (str(one.round), f"{one.guest}/{one.target}", one.pool_from, one.pool_to, show_size(one.copy_bytes))
        for one in moves
    ]
    return tables.table(("round", "disk", "from", "to", "to copy"), rows, right=("round", "to copy"))


def _pools(pools: Sequence[PoolOutlook]) -> RenderableType:
    pools = [one for one in pools if one.fill != one.fill_after or one.latency != one.latency_after] or pools
    timed = any(one.latency is not None for one in pools)
    headings = ("pool", "filled", "afterwards", *(("latency", "afterwards ") if timed else ()))
    rows = [
        (
            one.pool,
            f"{one.fill:.0%}",
            f"{one.fill_after:.0%}",
            *((_latency(one.latency), _latency(one.latency_after)) if timed else ()),
        )
        for one in pools
    ]
    return tables.table(headings, rows, right=headings[1:])


def _latency(seconds: float | None) -> str:
    return "" if seconds is None else show_duration(seconds)


def balance(found: Balance, sampled: float | None) -> RenderableType:
    """`sampled`: seconds that the samples of latencies cover."""
    parts: list[RenderableType] = []
    rows = [
        (
            ", ".join(f"{move.guest}/{move.target}" for move in one.moves),
            one.source.pool,
            one.destination.pool,
            show_size(one.copy_bytes),
            show_duration(one.seconds),
            f"{one.load:.1f}",
            f"{one.why}: {one.text}",
        )
        for one in found.recommendations
    ]
    if rows:
        headings = ("disk", "from", "to", "to copy", "time", "load", "what it brings")
        parts.append(tables.table(headings, rows, right=headings[3:6]))
        parts.append(_pools(found.pools))
    else:
        parts.append(Text("nothing to be gained by a move"))
    parts.extend(
        Text(f"{pool} stays above what is wanted ({why}): no move helps", style="yellow")
        for pool, why in found.unrelieved.items()
    )
    if sampled is None:
        parts.append(Text("of latencies nothing is known: svmove sample, at least twice", style="dim"))
    return Group(*parts)


def places(found: Places) -> RenderableType:
    parts: list[RenderableType] = [
        Text(f"{number}: {pool or 'no pool has room'}", style="" if pool else "yellow")
        for number, pool in enumerate(found.pools, start=1)
    ]
    if any(found.pools):
        parts.append(_pools(found.outlook))
    by_reason: dict[str, list[str]] = {}
    for pool, why in found.refused.items():
        by_reason.setdefault(why, []).append(pool)
    parts.extend(Text(f"{why}: {', '.join(pools)}", style="dim") for why, pools in by_reason.items())
    return Group(*parts)


def evacuation_document(found: Evacuation) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "pool": found.pool,
        "state": "planned",
        "to": list(found.to),
        "emptying": found.emptying,
        "unmovable": [
            {
                "pool": one.pool,
                "volume": one.volume,
                "guest": one.guest,
                "target": one.target,
                "allocation": one.allocation,
                **dataclasses.asdict(one.stay),
            }
            for one in found.stays
        ],
        "moves": [_move(one) for one in found.moves],
        "pools": [dataclasses.asdict(one) for one in found.pools],
        "estimate": {"bytes": found.copy_bytes, "seconds": round(found.seconds, 1)},
    }


def _move(one: Proposal) -> dict[str, Any]:
    return {**dataclasses.asdict(one), "seconds": round(one.seconds, 1), "load": round(one.load, 3)}


def balance_document(found: Balance, sampled: float | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "recommendations": [
            {
                "why": one.why,
                "text": one.text,
                "moves": [_move(move) for move in one.moves],
                "cost": {"bytes": one.copy_bytes, "seconds": round(one.seconds, 1), "load": round(one.load, 3)},
                "source": dataclasses.asdict(one.source),
                "destination": dataclasses.asdict(one.destination),
            }
            for one in found.recommendations
        ],
        "pools": [dataclasses.asdict(one) for one in found.pools],
        "unrelieved": dict(found.unrelieved),
        "sampled_seconds": sampled,
    }


def places_document(found: Places, size: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "size": size,
        "volumes": [{"pool": pool} for pool in found.pools],
        "refused": dict(found.refused),
        "pools": [dataclasses.asdict(one) for one in found.outlook],
    }
