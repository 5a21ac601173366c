"""A move's record → what is told of it. Pure: the journal is the only source."""

import shlex
from collections.abc import Iterator

from svmove.errors import SvmoveError
from svmove.journal import Kind, Record
from svmove.model import CopyWay
from svmove.move import keeping, media
from svmove.move.phases import Phase
from svmove.move.quiet import frozen_since
from svmove.moves import Finding, Level, Plan
from svmove.outcomes import DiskOutcome, Failure, GuestOn, Mismatch, Outcome, Seconds, State
from svmove.requests import Verify
from svmove.units import show_duration
from svmove.volumes import DiskPlan

_STATES = {
    Phase.DONE: State.DONE,
    Phase.ROLLED_BACK: State.ROLLED_BACK,
    Phase.HANDED_OVER: State.HANDED_OVER,
}
_ON_SOURCE = frozenset(
    {
        Phase.PLANNED,
        Phase.ADMITTED,
        Phase.PREPARED,
        Phase.COPYING,
        Phase.READY,
        Phase.ROLLING_BACK,
        Phase.ROLLED_BACK,
    }
)
# What a move could not keep up, and what to do.
_TOLD = {
    "checkpoint-lost": "make the next backup a full one",
    "not-allocated": "see to it that the pool keeps enough free space",
}


def of_record(record: Record, *, stopped_by: SvmoveError | None = None) -> Outcome:
    """A move that is still under way counts as held: nobody works on it while this is asked.

    `stopped_by` is why its svmove left it there.
    """
    plan, phase = record.plan, Phase(record.phase)
    return Outcome(
        move=plan.move,
        domain=plan.domain,
        state=_state(record, phase),
        method=plan.method,
        disks=tuple(_disk(record, disk) for disk in plan.disks),
        seconds=_seconds(record),
        findings=plan.findings + _inside(record) + _measures(record) + _lost(record) + _leftovers(record),
        media=media.outcomes(record),
        error=None if phase in (Phase.DONE, Phase.HANDED_OVER) else _failure(record, phase, stopped_by),
    )


def _state(record: Record, phase: Phase) -> State:
    if phase is Phase.ROLLED_BACK and record.last(Kind.ERROR, "no-slot") is not None:
        return State.REFUSED  # nothing was made
    return _STATES.get(phase, State.HELD)


def of_plan(plan: Plan) -> Outcome:
    """Of a plan that is not carried out: it is refused, or there is nothing to do."""
    failure = None
    if plan.refused:
        first = next(finding for finding in plan.findings if finding.level is Level.REFUSE)
        failure = Failure(code=first.code, text=first.text, guest_on=GuestOn.SOURCE, remedy=first.remedy)
    return Outcome(
        move=None,
        domain=plan.domain,
        state=State.REFUSED if plan.refused else State.ALREADY_THERE,
        method=plan.method,
        disks=(),
        seconds=Seconds(),
        findings=plan.findings,
        error=failure,
    )


def _disk(record: Record, disk: DiskPlan) -> DiskOutcome:
    copied = record.last(Kind.FACT, "copied", disk.target)
    trimmed = record.last(Kind.FACT, "trimmed", disk.target)
    verified = record.last(Kind.FACT, "verified", disk.target)
    mismatches = tuple(Mismatch(**extent) for extent in verified.data["mismatches"]) if verified else ()
    layer = record.last(Kind.FACT, "layer", disk.target)
    proof = record.last(Kind.FACT, "proven-layer", disk.target)
    return DiskOutcome(
        target=disk.target,
        pool_from=disk.pool_from,
        pool_to=disk.destination.pool,
        source=disk.source,
        destination=disk.destination.path,
        format=disk.destination.format,
        virtual_bytes=disk.destination.capacity,
        copied_bytes=copied.data["bytes"] if copied else 0,
        verify=record.plan.verify,
        verified=record.plan.verify is not Verify.NONE and verified is not None and not mismatches,
        mismatches=mismatches,
        on=_on(record, disk.target),
        trimmed_bytes=trimmed.data["bytes"] if trimmed else 0,
        way=CopyWay(layer.data["way"]) if layer else None,
        overwritten=_overwritten(record, disk),
        shared=proof is not None and proof.data["by"] == "shared extents",
    )


def _overwritten(record: Record, disk: DiskPlan) -> bool:
    """Of a destination that was there before the move: it was written to, and the guest is not on it."""
    writes = ("encrypt", "copy", "copy-layer")
    begun = any(record.last(Kind.INTENT, what, disk.target) is not None for what in writes)
    return disk.destination.taken and begun and _on(record, disk.target) is GuestOn.SOURCE


def _on(record: Record, target: str) -> GuestOn:
    """Which copy of a disk the guest has, as far as it was proven."""
    if record.last(Kind.FACT, "over", target) is not None:
        return GuestOn.DESTINATION
    proven = record.last(Kind.FACT, "proven")
    if record.phase in _ON_SOURCE or (proven is not None and proven.data["where"] != GuestOn.DESTINATION):
        return GuestOn.SOURCE
    return GuestOn.UNKNOWN


def _seconds(record: Record) -> Seconds:
    """From the entries' wall-clock times; a clock that was set back counts as 0. The pause was measured."""
    entered = {entry.what: entry.at for entry in record.entries if entry.kind is Kind.PHASE}

    def between(begin: str, end: str) -> float:
        return max(entered[end] - entered[begin], 0.0) if begin in entered and end in entered else 0.0

    # "woken": of a guest whose svmove had died. "thawed": it ran, but its writes stood still from the freeze on.
    paused = [entry for what in ("paused", "woken", "thawed") for entry in record.all(Kind.FACT, what)]
    last = record.entries[-1].at if record.entries else record.plan.created
    return Seconds(
        total=max(last - record.plan.created, 0.0),
        copy=between(Phase.PREPARED, Phase.READY),
        pause=max((entry.data.get("seconds", 0.0) for entry in paused), default=0.0),
        verify=between(Phase.VERIFYING, Phase.COMMITTED) or between(Phase.VERIFYING, Phase.HELD),
        waited=sum(entry.data["seconds"] for entry in record.all(Kind.FACT, "slot")),
    )


def _measures(record: Record) -> tuple[Finding, ...]:
    """What was done to the guest so that the copy came to an end."""
    told = (
        (Kind.INTENT, "throttle", "guest-throttled", "the guest's writes were held back, so that the copy caught up"),
        (Kind.INTENT, "escalate", "begun-again", "its copy was begun again, with synchronous writes"),
        (Kind.FACT, "short", "suspended-to-finish", "the guest was suspended for what the copy lacked"),
    )
    return tuple(
        Finding(level=Level.NOTE, code=code, text=text, target=target)
        for kind, what, code, text in told
        for target in dict.fromkeys(entry.target for entry in record.all(kind, what))
    )


def _inside(record: Record) -> tuple[Finding, ...]:
    """What the guest's agent and the storage did not do."""
    found = []
    trim = record.last(Kind.FACT, "trim-done")
    if trim is not None and trim.data["trouble"] is not None:
        text = f"the guest did not trim its file systems: {trim.data['trouble']}"
        found.append(Finding(level=Level.WARN, code="trim-failed", text=text))
    if frozen_since(record) is not None:
        text = "the guest's file systems may be frozen still: its agent did not answer"
        remedy = f"virsh domfsthaw {shlex.quote(record.plan.domain)}"
        found.append(Finding(level=Level.WARN, code="still-frozen", text=text, remedy=remedy))
    return (*found, *_slow(record), *_drives(record))


def _slow(record: Record) -> Iterator[Finding]:
    for folder, seconds in {e.data["folder"]: e.data["seconds"] for e in record.all(Kind.FACT, "slow")}.items():
        yield Finding(
            level=Level.WARN,
            code="slow-destination",
            text=f"a write of 64 KiB to {folder} took {show_duration(seconds)} before the copy began",
            remedy="look at that storage: the guest's own writes take as long there",
        )


def _drives(record: Record) -> Iterator[Finding]:
    for medium in record.plan.media:
        told = record.last(Kind.FACT, "medium-stays", medium.target)
        if told is not None:
            words = ("virsh", "change-media", record.plan.domain, medium.target, "PATH", "--live", "--config")
            yield Finding(
                level=Level.WARN,
                code="medium-stays",
                text=f"{medium.target}: {told.data['text']}",
                remedy=f"move again, or by hand: {shlex.join(words)}",
                target=medium.target,
            )


def _lost(record: Record) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            level=Level.WARN,
            code="overwritten",
            text=f"{disk.target}: {disk.destination.path} was there before, and has been overwritten at least in part; "
            "it is not a copy of the disk",
            remedy="to move there again: --overwrite",
            target=disk.target,
        )
        for disk in record.plan.disks
        if record.phase in (Phase.ROLLED_BACK, Phase.HELD) and _overwritten(record, disk)
    )


def _leftovers(record: Record) -> tuple[Finding, ...]:
    kept = [
        Finding(
            level=Level.WARN,
            code=code,
            text=entry.data["text"],
            remedy="look at it, and remove it by hand when it is not needed",
            target=entry.target,
        )
        for code, gone in (("source-kept", "deleted"), ("destination-kept", "removed"))
        for entry in {entry.target: entry for entry in record.all(Kind.FACT, code)}.values()
        if record.last(Kind.FACT, gone, entry.target) is None
    ]
    late = [
        Finding(level=Level.WARN, code=entry.what, text=entry.data["text"], remedy=entry.data["remedy"])
        for entry in record.entries
        if entry.kind is Kind.ERROR and entry.phase == Phase.COMMITTED
    ]
    told = [
        Finding(level=Level.WARN, code=code, text=entry.data["text"], remedy=remedy)
        for code, remedy in _TOLD.items()
        for entry in {entry.target: entry for entry in record.all(Kind.FACT, code)}.values()
    ]
    waiting = [
        Finding(
            level=Level.NOTE, code=keeping.FACT, text=entry.data["text"], remedy="svmove gc --yes", target=entry.target
        )
        for entry in {entry.target: entry for entry in record.all(Kind.FACT, keeping.FACT)}.values()
    ]
    return tuple(kept + waiting + told + late)


def _failure(record: Record, phase: Phase, stopped_by: SvmoveError | None) -> Failure:
    """The first error is the cause of a roll-back; of a hold, the newest says what is seen."""
    errors = [entry for entry in record.entries if entry.kind is Kind.ERROR]
    proven = record.last(Kind.FACT, "proven")
    where = GuestOn(proven.data["where"]) if proven else GuestOn.UNKNOWN
    if phase in _ON_SOURCE and where is not GuestOn.MIXED:
        where = GuestOn.SOURCE
    if stopped_by is not None or not errors:
        why = f"the move stopped in phase {phase}" + (f": {stopped_by.text}" if stopped_by else "")
        return Failure(
            code=stopped_by.code if stopped_by else "unfinished",
            text=why,
            guest_on=where,
            remedy=f"go on when that is mended: svmove resume {record.plan.move}",
        )
    if phase is Phase.HELD:
        cause = errors[-1]
        ways = f"svmove accept {record.plan.move} goes forward, svmove rollback {record.plan.move} goes back"
        remedy = f"{cause.data['remedy'] or 'both copies are kept'}; look (docs/held.md), then decide: {ways}"
    else:
        cause, remedy = errors[0], errors[0].data["remedy"]
    return Failure(code=cause.what, text=cause.data["text"], guest_on=where, remedy=remedy)
