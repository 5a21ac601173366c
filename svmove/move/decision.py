"""The two ways out of HELD, each by a person's word: forward to the destinations, or back to the sources.

What would be kept and lost is said beforehand (`decide`), from a look at where each disk is; `carry_out` looks
again, and refuses when that has changed. Nothing that was written since the cutover is ever given up: disks
that the guest runs on at their destinations go back by a move of their own, like any other.
"""

from svmove.decisions import Decision, Fate, Way
from svmove.errors import RefusedError
from svmove.journal import Ask
from svmove.model import DomainState
from svmove.move import hanging
from svmove.move.cleanup import leave_behind, merge_all, remove_made
from svmove.move.context import Move
from svmove.move.definition import define
from svmove.move.observe import DiskSeen, Seen, Where
from svmove.move.phases import Phase
from svmove.volumes import NVRAM, DiskPlan


def decide(move: Move, way: Way) -> Decision:
    """What that way out would mean. Changes nothing.

    Raises:
        RefusedError: the move is not held, or that way is not open; the remedy says what is.
        UnreachableError: libvirt is gone.
    """
    if move.phase is not Phase.HELD:
        raise RefusedError(f"move {move.plan.move} is not held, it is {move.phase}")
    hanging.unless_in_the_way(move)
    seen = move.observe()
    choose = _forward if way is Way.FORWARD else _back
    fates = tuple(choose(move, seen, disk) for disk in seen.disks)
    return Decision(move=move.plan.move, domain=move.plan.domain, way=way, seen=str(seen), fates=fates)


def carry_out(move: Move, way: Way) -> tuple[DiskPlan, ...]:
    """Takes the move out of HELD. The disks that must be moved back by another move: then it is still HELD, and
    to be handed over (`Journal.hand_over`). Raises what `decide` raises."""
    decision = decide(move, way)
    seen = move.observe()
    if str(seen) != decision.seen:
        raise RefusedError(f"it changed meanwhile: {seen}", remedy="look again")
    move.world.journal.requests.withdraw(move.plan.move, Ask.CANCEL)
    move.note("decided", way=way, seen=decision.seen)
    if way is Way.BACK:
        return _go_back(move, seen)
    _go_forward(move, seen)
    return ()


def one_file(move: Move) -> None:
    """Disks that are to be moved back are planned as they will be then: without an overlay. Raises CopyError."""
    seen = move.observe()
    merge_all(move, [d.plan for d in seen.disks if not seen.off and d.where is Where.DESTINATION], forward=True)


def _forward(move: Move, seen: Seen, disk: DiskSeen) -> Fate:
    source, destination = disk.plan.source, disk.plan.destination.path
    if seen.off:
        if not move.may_be_over and not seen.off_on_destination:
            raise _refused(move, seen, "no pivot was asked for before it went off", Way.BACK)
        starts = "" if seen.domain.state is DomainState.GONE else "; the guest's next start is from the destination"
        return Fate(target=disk.target, keeps=(destination, source), loses=(), text=f"both files are kept{starts}")
    match disk.where:
        case Where.DESTINATION:
            verified = _proof(move, disk.target)
            if disk.plan.delete_source and not move.noted("adopted"):
                text = f"stays on its destination, which was {verified}; the source is deleted"
                return Fate(target=disk.target, keeps=(destination,), loses=(source,), text=text)
            text = f"stays on its destination, which was {verified}; the source is kept"
            return Fate(target=disk.target, keeps=(destination, source), loses=(), text=text)
        case Where.SOURCE if disk.plan.overlay is not None and move.noted("merged", disk.target):
            raise _refused(move, seen, "what was frozen of the source has changed since it was copied", Way.BACK)
        case Where.SOURCE if disk.destination_is_ours and not move.noted("adopted"):
            text = "is copied again, and goes over as in any move"
            return Fate(target=disk.target, keeps=(source, destination), loses=(), text=text)
        case Where.SOURCE:
            raise _refused(move, seen, f"{destination} is not the file that this move made", Way.BACK)
        case _:
            raise _unclear(move, disk)


def _back(move: Move, seen: Seen, disk: DiskSeen) -> Fate:
    source, destination = disk.plan.source, disk.plan.destination.path
    if seen.off and not seen.off_on_source:
        raise RefusedError(
            f"the guest is off, and its next start is from the destination: {disk}",
            remedy=f"start it, then: svmove rollback {move.plan.move}",
        )
    if seen.off and move.may_be_over:
        text = "the guest's next start is from the source; the destination, which may have newer writes, is kept"
        return Fate(target=disk.target, keeps=(source, destination), loses=(), text=text)
    if seen.off or disk.where is Where.SOURCE:
        if move.noted("adopted"):
            text = "stays on its source; the destination is kept, because the journal of the move was lost"
            return Fate(target=disk.target, keeps=(source, destination), loses=(), text=text)
        text = "stays on its source; the destination is deleted"
        return Fate(target=disk.target, keeps=(source,), loses=(destination,), text=text)
    if disk.where is Where.UNCLEAR:
        raise _unclear(move, disk)
    if disk.target == NVRAM:
        text = "stays at its destination, since QEMU has it open; the old one is kept"
        return Fate(target=disk.target, keeps=(destination, source), loses=(), text=text)
    if disk.plan.pool_from is None:
        raise RefusedError(
            f"{source} is in no pool, so {disk.target} can't be moved back there",
            remedy=f"svmove accept {move.plan.move}, then move it where you want it",
        )
    text = (
        f"is moved back, with all that was written since, into a new volume in pool {disk.plan.pool_from}; "
        "the old source is kept beside it"
    )
    return Fate(target=disk.target, keeps=(source,), loses=(destination,), text=text)


def _proof(move: Move, target: str) -> str:
    if move.proven(target):
        return "verified"
    return "found to DIFFER from the source" if move.noted("verified", target) else "NOT verified"


def _refused(move: Move, seen: Seen, why: str, other: Way) -> RefusedError:
    command = "rollback" if other is Way.BACK else "accept"
    return RefusedError(f"not possible: {why}: {seen}", remedy=f"svmove {command} {move.plan.move}")


def _unclear(move: Move, disk: DiskSeen) -> RefusedError:
    return RefusedError(
        f"it can't be told where the guest is with move {move.plan.move}: {disk}",
        remedy="docs/held.md says how to look",
    )


def _go_forward(move: Move, seen: Seen) -> None:
    if seen.off:
        if seen.domain.state is not DomainState.GONE and not seen.off_on_destination:
            sources = {d.target: (d.lands.path, d.lands.format) for d in move.plan.disks}
            define(move, sources, running=False)
        move.enter(Phase.COMMITTED)
        return
    for disk in seen.disks:
        if disk.where is Where.DESTINATION:
            if not move.noted("over", disk.target):
                move.note("over", disk.target)
            if not move.proven(disk.target):
                move.note("waived", disk.target)
    move.enter(Phase.PREPARED if move.pending else Phase.COMMITTED)


def _go_back(move: Move, seen: Seen) -> tuple[DiskPlan, ...]:
    over = tuple(d.plan for d in seen.disks if not seen.off and d.where is Where.DESTINATION)
    if not over:
        move.enter(Phase.ROLLING_BACK)
        return ()
    rest = tuple(d for d in seen.disks if d.where is Where.SOURCE)
    for disk in rest:
        if disk.copies:
            move.intend("cancel", disk.target)
            move.world.hypervisor.cancel_copy(move.plan.uuid, disk.target)
    targets = [disk.plan for disk in rest]

    def ended(_event: object) -> bool:
        now = move.observe().of(targets)
        return not any(disk.copies or disk.holds_destination for disk in now.disks)

    if not move.await_(move.world.policy.move.cancel_wait, ended):
        raise RefusedError(f"a copy can't be cancelled: {move.observe()}", remedy="look, then again")
    remove_made(move, targets, merge_all(move, targets, forward=False))
    leave_behind(move, over)
    for plan in over:
        move.note("source-kept", plan.target, text=f"{plan.source} was kept: the move went back from its destination")
    return over
