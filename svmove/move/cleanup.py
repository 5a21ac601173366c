"""What is left after a move: the sources after a commit, our own volumes after a roll-back.

Nothing is deleted here that (1) the journal does not own, (2) observation does not show to be unused, or
(3) is not the very file that the journal knows (device and inode): somebody may have put another one there.
A doubt keeps the file, and says so.
"""

from collections.abc import Callable, Mapping

from svmove.errors import CopyError, HostError, JournalError, SvmoveError, UnreachableError
from svmove.journal import Kind
from svmove.move.context import Move
from svmove.move.cutover import wake
from svmove.move.observe import Seen, Where
from svmove.move.phases import Phase
from svmove.moves import DiskPlan

# A job that is cancelled ends within a request's time; a stalled destination may take for ever.
_CANCEL_WAIT = 30.0


def commit(move: Move) -> Phase:
    """The sources go. One that can't be deleted is a leftover, not a failure."""
    move.world.hypervisor.end_export(move.plan.uuid, move.socket)
    move.world.host.remove_scratch(move.scratch)
    seen = move.observe()
    elsewhere = _used_elsewhere(move)
    for disk in move.plan.disks:
        if not disk.delete_source or move.noted("deleted", disk.target):
            continue
        if move.intended("delete", disk.target) and move.world.host.identity(disk.source) is None:
            move.note("deleted", disk.target)  # by an svmove that died before it could say so
            continue
        doubt = _doubt_about_source(move, disk, seen, elsewhere)
        if doubt is None:
            doubt = _delete(move, disk.target, disk.pool_from or "", disk.volume_from or "", disk.source, "deleted")
        if doubt is not None:
            move.note("source-kept", disk.target, text=f"{disk.source} was kept: {doubt}")
    for pool in {disk.destination.pool for disk in move.plan.disks}:
        _refresh(move, pool)
    move.world.hypervisor.set_marker(move.plan.uuid, None)
    return Phase.DONE


def leave(move: Move, error: SvmoveError) -> None:
    """After a commit that failed: every source that is still there is told, and the domain is let go."""
    for disk in move.plan.disks:
        if disk.delete_source and not move.noted("deleted", disk.target) and not move.noted("source-kept", disk.target):
            move.note("source-kept", disk.target, text=f"{disk.source} was kept: {error.text}")
    _try(move, lambda: move.world.hypervisor.set_marker(move.plan.uuid, None))


def hold(move: Move) -> None:
    """A move that waits for a person must not cost the guest anything meanwhile.

    The export is ended, because QEMU pauses the guest when its scratch file can't grow; a guest that we
    suspended, or that was paused for that, goes on. What fails is told: the hold itself must be recorded.
    """
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid

    def let_go_on() -> None:
        domain = hypervisor.domain(uuid)
        if not wake(move, domain) and domain.io_error and move.phase in (Phase.CUTOVER, Phase.VERIFYING):
            hypervisor.resume(uuid)

    _try(move, lambda: hypervisor.end_export(uuid, move.socket))
    _try(move, lambda: move.world.host.remove_scratch(move.scratch))
    _try(move, let_go_on)


def _try(move: Move, act: Callable[[], None]) -> None:
    try:
        act()
    except (UnreachableError, JournalError):
        raise
    except SvmoveError as error:
        move.say(text=error.text)


def _used_elsewhere(move: Move) -> dict[str, str]:
    """Identity of each file that somebody else names → who. By identity: a path may be a link."""
    host = move.world.host
    used = move.world.hypervisor.paths_in_use(besides=move.plan.uuid)
    return {identity: who for path, who in used.items() if (identity := host.identity(path)) is not None}


def _doubt_about_source(move: Move, disk: DiskPlan, seen: Seen, elsewhere: Mapping[str, str]) -> str | None:
    """Why the source may not be deleted, or None."""
    if seen.where is not Where.DESTINATION:
        return f"the guest is not proven on its destinations: {seen}"
    known = move.noted("source", disk.target)
    identity = move.world.host.identity(disk.source)
    if known is None or identity is None or identity != known.data["identity"]:
        return "it is not the file that was copied"
    if identity in elsewhere:
        return f"{elsewhere[identity]} uses it"
    if holders := move.world.host.holders(disk.source):
        return f"process {holders[0]} has it open"
    return None


def roll_back(move: Move) -> Phase:
    """Back to the sources: what we made goes, when the guest is proven not to need it."""
    hypervisor = move.world.hypervisor
    if not any(entry.kind is Kind.INTENT for entry in move.record.entries):
        return Phase.ROLLED_BACK  # nothing was begun, so wherever the guest is, it is none of our doing
    hypervisor.end_export(move.plan.uuid, move.socket)
    seen = move.observe()
    wake(move, seen.domain)
    for disk in seen.disks:
        if disk.copies:
            move.intend("cancel", disk.target)
            hypervisor.cancel_copy(move.plan.uuid, disk.target)

    def ended(_event: object) -> bool:
        nonlocal seen
        seen = move.observe()
        return not any(disk.copies or disk.holds_destination for disk in seen.disks)

    if not move.await_(_CANCEL_WAIT, ended):
        raise CopyError(f"the copy can't be cancelled: {seen}", reason="cancel-failed")
    if not (seen.where is Where.SOURCE or seen.off_on_source):
        raise CopyError(f"the guest is not proven on its sources: {seen}", reason="unclear")
    elsewhere = _used_elsewhere(move)
    for plan in move.plan.disks:
        _remove_destination(move, plan, elsewhere)
    move.world.host.remove_scratch(move.scratch)
    if seen.domain.marker == move.plan.move:
        hypervisor.set_marker(move.plan.uuid, None)
    return Phase.ROLLED_BACK


def _remove_destination(move: Move, disk: DiskPlan, elsewhere: Mapping[str, str]) -> None:
    spec, host = disk.destination, move.world.host
    if move.intended("create", disk.target) is None or move.noted("removed", disk.target):
        return
    created = move.noted("created", disk.target)
    identity = host.identity(spec.path)
    if identity is None and created is not None:
        _refresh(move, spec.pool)  # somebody removed it; libvirt may not know
        return
    doubt = None
    if created is None:
        # The intention alone: the volume may be half made by us, or somebody else's of the same name.
        if identity is None:
            return
        doubt = "svmove died while it was made, so it can't be told whose it is"
    elif identity is None or identity != created.data["identity"]:
        doubt = "it is not the file that svmove made"
    elif identity in elsewhere:
        doubt = f"{elsewhere[identity]} uses it"
    elif holders := host.holders(spec.path):
        doubt = f"process {holders[0]} has it open"
    if doubt is None:
        doubt = _delete(move, disk.target, spec.pool, spec.name, spec.path, "removed")
    if doubt is not None:
        move.note("destination-kept", disk.target, text=f"{spec.path} was kept: {doubt}")


def _delete(move: Move, target: str, pool: str, name: str, path: str, what: str) -> str | None:
    """Deletes a volume whose right to go has been proven; the reason if it can't be."""
    move.intend("delete", target, pool=pool, name=name)
    why = f"pool {pool} no longer knows it"
    try:
        move.world.hypervisor.delete_volume(pool, name, path)
    except UnreachableError:
        raise
    except SvmoveError as error:
        why = error.text
    # Neither "deleted" nor "failed" is believed.
    try:
        there = move.world.host.identity(path) is not None
    except HostError as error:
        return f"it is not known whether it was deleted: {error.text}"
    if there:
        return why
    move.note(what, target, pool=pool, name=name)
    return None


def _refresh(move: Move, pool: str) -> None:
    try:
        move.world.hypervisor.refresh_pool(pool)
    except UnreachableError:
        raise
    except SvmoveError as error:  # it shows an old list until somebody refreshes it
        move.say(text=f"pool {pool} could not be refreshed: {error.text}")
