"""The JSON documents: a contract (docs/json.md). Keys are only ever added."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from svmove.budgets import Waits
from svmove.decisions import Decision
from svmove.journal import Record
from svmove.model import Disk, Domain, Image, Pool, Volume
from svmove.move.leftovers import Leftover
from svmove.move.outcome import of_record
from svmove.move.tasks import Task
from svmove.moves import Finding, Plan, Terms
from svmove.outcomes import Outcome
from svmove.windows import Moment

SCHEMA = 1


def move(outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "move": outcome.move,
        "domain": outcome.domain,
        "state": outcome.state,
        "method": outcome.method,
        "disks": [dataclasses.asdict(disk) for disk in outcome.disks],
        "seconds": {key: round(value, 4) for key, value in dataclasses.asdict(outcome.seconds).items()},
        "findings": findings(outcome.findings),
        "media": [dataclasses.asdict(medium) for medium in outcome.media],
        "error": None if outcome.error is None else dataclasses.asdict(outcome.error),
    }


def moves(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"schema": SCHEMA, "moves": [move(outcome) for outcome in outcomes]}


def tasks(found: Sequence[Task]) -> dict[str, Any]:
    return {"schema": SCHEMA, "tasks": [_task(task) for task in found]}


def _task(task: Task) -> dict[str, Any]:
    figures = task.figures
    remaining = figures.remaining if figures else None
    return {
        "move": task.move,
        "domain": task.domain,
        "uri": task.uri,
        "disks": list(task.disks),
        "phase": task.phase,
        "state": task.state,
        "done_bytes": figures.done if figures else None,
        "end_bytes": figures.end if figures else None,
        "rate": round(figures.rate) if figures and figures.rate is not None else None,
        "remaining_seconds": None if remaining is None else round(remaining, 1),
        "converges": figures.converges if figures else None,
        "age_seconds": round(task.age, 1),
        "process": task.process,
        "host": task.host,
        "here": task.here,
        "priority": task.priority,
        "waits": None if task.waits is None else _waits(task.waits),
        "cutover": moment(task.cutover),
    }


def _waits(waits: Waits) -> dict[str, Any]:
    return {"for": waits.place.kind, "name": waits.place.name, "position": waits.position}


def history(record: Record) -> dict[str, Any]:
    """The document of the move, and every entry of its journal. Times are Unix times."""
    return {
        **move(of_record(record)),
        "phase": record.phase,
        "ended": record.ended,
        "uri": record.uri,
        "created": record.plan.created,
        "history": [dataclasses.asdict(entry) for entry in record.entries],
    }


def decision(found: Decision) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "move": found.move,
        "domain": found.domain,
        "way": found.way,
        "seen": found.seen,
        "disks": [dataclasses.asdict(fate) for fate in found.fates],
    }


def terms(move: str, found: Terms, process: int | None) -> dict[str, Any]:
    told = {**dataclasses.asdict(found), "cutover": moment(found.cutover)}
    return {"schema": SCHEMA, "move": move, **told, "process": process}


def moment(found: Moment | None) -> dict[str, Any] | None:
    return None if found is None else {"at": found.at, "zone": found.zone, "local": found.local.isoformat()}


def leftovers(found: Sequence[Leftover], removed: Collection[int]) -> dict[str, Any]:
    """`removed`: by position in `found`."""
    return {
        "schema": SCHEMA,
        "leftovers": [
            {
                "kind": leftover.kind,
                "move": leftover.move,
                "domain": leftover.domain,
                "path": leftover.path,
                "text": leftover.text,
                "kept": leftover.kept,
                "removed": number in removed,
            }
            for number, leftover in enumerate(found)
        ],
    }


def plan(plan: Plan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "domain": plan.domain,
        "state": "refused" if plan.refused else "planned" if plan.disks or plan.media else "already-there",
        "method": plan.method,
        "why": plan.why,
        "verify": plan.verify,
        "max_pause": plan.max_pause,
        "deadline": plan.deadline,
        "cutover": moment(plan.windows.opens(plan.created, plan.at)),
        "trim": plan.trim,
        "freeze": plan.freeze,
        "disks": [
            {
                "target": disk.target,
                "pool_from": disk.pool_from,
                "pool_to": disk.destination.pool,
                "source": disk.source,
                "destination": disk.destination.path,
                "format_from": disk.source_format,
                "format": disk.destination.format,
                "virtual_bytes": disk.destination.capacity,
                "allocation": "full" if disk.destination.full or disk.destination.luks else "thin",
                "encrypted": disk.destination.luks is not None,
                "copy_bytes": disk.copy_bytes,
                "bandwidth": disk.bandwidth,
                "delete_source": disk.delete_source,
            }
            for disk in plan.disks
        ],
        "media": [
            {
                "target": medium.target,
                "pool_to": medium.destination.pool,
                "source": medium.source,
                "destination": medium.destination.path,
                "copy_bytes": medium.copy_bytes,
            }
            for medium in plan.media
        ],
        "there": list(plan.there),
        "estimate": {"bytes": plan.copy_bytes, "seconds": round(plan.copy_seconds, 1)},
        "findings": findings(plan.findings),
    }


def findings(found: tuple[Finding, ...]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(finding) for finding in found]


def pools(found: Sequence[tuple[str, Pool]]) -> dict[str, Any]:
    """Of each its host, as it is named where it is reached."""
    return {"schema": SCHEMA, "pools": [{**dataclasses.asdict(pool), "host": host} for host, pool in found]}


def disks(domain: Domain, volumes: dict[str, Volume], images: dict[str, Image]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "domain": domain.name,
        "state": domain.state,
        "disks": [_disk(disk, volumes, images) for disk in domain.live or domain.inactive],
    }


def _disk(disk: Disk, volumes: dict[str, Volume], images: dict[str, Image]) -> dict[str, Any]:
    volume, image = volumes.get(disk.path or ""), images.get(disk.path or "")
    virtual = image.seen_bytes(disk) if image else volume.capacity if volume else None
    allocated = image.allocated_bytes if image else volume.allocation if volume else None
    return {
        "target": disk.target,
        "device": disk.device,
        "pool": volume.pool if volume else None,
        "volume": volume.name if volume else None,
        "source": disk.path,
        "format": disk.format,
        "virtual_bytes": virtual,
        "allocated_bytes": allocated,
        "chain": list(disk.chain),
        "job": disk.mirror.job if disk.mirror else None,
    }
