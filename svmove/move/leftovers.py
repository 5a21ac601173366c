"""What ended moves left behind, and whether it may go. For `svmove gc`.

The journal says what is ours; a leftover goes only if it is provably that, and provably unused. What may be the
only good copy of something is listed, and never removed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath

from svmove.errors import HypervisorError, NotFoundError
from svmove.journal import Entry, Journal, Kind, Record
from svmove.move import keeping, lost, throttle
from svmove.move.phases import Phase
from svmove.move.throttle import InForce
from svmove.move.usage import in_use
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.volumes import DiskPlan


class LeftoverKind(StrEnum):
    VOLUME = "volume"
    SCRATCH = "scratch"  # a folder with scratch files, a socket
    MARKER = "marker"
    LIMITS = "limits"  # a guest's writes are held back still


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    kind: LeftoverKind
    move: str
    domain: str
    path: str  # the domain's name for a marker, and for limits
    text: str  # what it is
    kept: str | None = None  # why it may not go; None: it may
    pool: str | None = None
    volume: str | None = None
    held: InForce | None = None  # of limits


def find(
    journal: Journal, hypervisor: Hypervisor, host: Host, scratch: str, uri: str, now: float
) -> tuple[Leftover, ...]:
    """Looks only. `now`: Unix time. Raises JournalError, UnreachableError, HypervisorError, HostError."""
    summaries = journal.moves(ended=True)
    ids = {summary.move for summary in summaries}
    records = [journal.read(summary.move) for summary in summaries if summary.ended and summary.uri == uri]
    if keeping.is_due(records, now):
        _refresh(hypervisor)
    used = in_use(hypervisor, host, besides="")  # also by the domains that were moved
    found: list[Leftover] = []
    for number, record in enumerate(records):
        same_guest = [one for one in records[number:] if one.plan.uuid == record.plan.uuid]
        found.extend(_volumes(record, host, used))
        found.extend(_waiting(same_guest, host, used, hypervisor, now))
        found.extend(_scratch(record, host, scratch))
        found.extend(_limits(record, hypervisor))
    found.extend(_markers(hypervisor, journal, ids))
    return tuple(found)


def remove(leftover: Leftover, hypervisor: Hypervisor, host: Host) -> None:
    """Raises HypervisorError, HostError, UnreachableError. To be called with what `find` has just found."""
    if leftover.kept is not None:
        raise AssertionError(f"{leftover.path} may not go: {leftover.kept}")
    match leftover.kind:
        case LeftoverKind.VOLUME:
            hypervisor.delete_volume(leftover.pool or "", leftover.volume or "", leftover.path)
            if host.identity(leftover.path) is not None:
                raise HypervisorError(
                    f"pool {leftover.pool} does not know {leftover.path}", remedy="look at it, and remove it by hand"
                )
        case LeftoverKind.LIMITS if leftover.held is not None:
            throttle.put_back(hypervisor, hypervisor.find_domain(leftover.domain).uuid, leftover.held)
        case LeftoverKind.SCRATCH:
            host.remove_scratch(leftover.path)
        case LeftoverKind.MARKER:
            domain = hypervisor.find_domain(leftover.domain)
            if domain.marker == leftover.move:
                hypervisor.set_marker(domain.uuid, None)


def _volumes(record: Record, host: Host, used: dict[str, str]) -> Iterator[Leftover]:
    for disk in (*record.plan.disks, *record.plan.media):
        for key, spec in disk.made.items():
            kept = record.last(Kind.FACT, "destination-kept", key)
            if kept is not None and record.last(Kind.FACT, "removed", key) is None:
                known = record.last(Kind.FACT, "created", key)
                yield from _volume(record, disk, kept, spec.path, (spec.pool, spec.name), known, host, used)
        for key, path in disk.deletable.items():
            kept = record.last(Kind.FACT, "source-kept", key)
            if kept is not None and record.last(Kind.FACT, "deleted", key) is None:
                known = record.last(Kind.FACT, "source", key)
                volume = disk.lies_in(key)
                yield from _volume(record, disk, kept, path, volume, known, host, used)


def _refresh(hypervisor: Hypervisor) -> None:
    """An image that somebody has laid over a source meanwhile is known when its pool has been looked at."""
    for pool in hypervisor.pools():
        if pool.active:
            with suppress(HypervisorError):
                hypervisor.refresh_pool(pool.name)


def _waiting(
    records: Sequence[Record], host: Host, used: dict[str, str], hypervisor: Hypervisor, now: float
) -> Iterator[Leftover]:
    """Sources that the first move keeps for a time; the others moved the same guest later."""
    record = records[0]
    for disk in record.plan.disks:
        for key, path in disk.deletable.items():
            told = record.last(Kind.FACT, keeping.FACT, key)
            if told is None or record.last(Kind.FACT, "deleted", key) is not None:
                continue
            known = record.last(Kind.FACT, "source", key)
            for left in _volume(record, disk, told, path, disk.lies_in(key), known, host, used):
                why = left.kept or keeping.objection(records, disk, told, path, host, hypervisor, now)
                yield replace(left, kept=why)


def _volume(
    record: Record,
    disk: DiskPlan,
    told: Entry,
    path: str,
    volume: tuple[str, str] | None,
    known: Entry | None,
    host: Host,
    used: dict[str, str],
) -> Iterator[Leftover]:
    identity = host.identity(path)
    if identity is None:
        return
    if known is not None and known.data.get("identity") != identity:
        return  # somebody else's by now
    kept = None
    if record.phase == Phase.HANDED_OVER or told.data.get("precious"):
        kept = "it may have what no other file has; remove it by hand when you are sure"
    elif record.last(Kind.FACT, "adopted") is not None or known is None:
        kept = "the journal does not prove whose it is; remove it by hand when you are sure"
    elif volume is None:
        kept = "it is in no pool"
    elif identity in used:
        kept = f"{used[identity]} uses it"
    elif holders := host.holders(path):
        kept = f"process {holders[0]} has it open"
    yield Leftover(
        kind=LeftoverKind.VOLUME,
        move=record.plan.move,
        domain=record.plan.domain,
        path=path,
        text=f"{disk.target}: {told.data['text']}",
        kept=kept,
        pool=volume[0] if volume else None,
        volume=volume[1] if volume else None,
    )


def _scratch(record: Record, host: Host, scratch: str) -> Iterator[Leftover]:
    made = record.last(Kind.INTENT, "scratch")
    folder = str(made.data["folder"]) if made else str(PurePosixPath(scratch) / record.plan.move)
    if made is None or host.identity(folder) is None:
        return
    kept = None
    for disk in record.plan.disks:
        if holders := host.holders(f"{folder}/{disk.target}.qcow2"):
            kept = f"process {holders[0]} has {disk.target}.qcow2 open"
    yield Leftover(
        kind=LeftoverKind.SCRATCH,
        move=record.plan.move,
        domain=record.plan.domain,
        path=folder,
        text="scratch files of its verification",
        kept=kept,
    )


def _limits(record: Record, hypervisor: Hypervisor) -> Iterator[Leftover]:
    """That are in force still, on the guest whose writes the move held back."""
    for held in throttle.in_force(record):
        try:
            domain = hypervisor.domain(record.plan.uuid)
            if domain.disk(held.target) is None or not held.is_ours(hypervisor.tuning(domain.uuid, held.target)):
                continue
        except (NotFoundError, HypervisorError):  # off, or gone
            continue
        yield Leftover(
            kind=LeftoverKind.LIMITS,
            move=record.plan.move,
            domain=domain.name,
            path=domain.name,
            text=f"{held.target}: the guest's writes are held back still",
            held=held,
        )


def _markers(hypervisor: Hypervisor, journal: Journal, ids: set[str]) -> Iterator[Leftover]:
    for domain in lost.find(hypervisor):
        move = domain.marker or ""
        if move in ids and not journal.has_ended(move):
            continue
        yield Leftover(
            kind=LeftoverKind.MARKER,
            move=move,
            domain=domain.name,
            path=domain.name,
            text="the marker in the domain's metadata",
            kept=None if move in ids else f"this journal does not know that move: svmove resume {move}",
        )
