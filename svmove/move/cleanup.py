"""What is left after a move: sources after a commit, what we made after a roll-back. A doubt (`ownership`) keeps it."""

from collections.abc import Callable, Mapping, Sequence

from svmove.errors import CopyError, HostError, JournalError, SilentStorageError, SvmoveError, UnreachableError
from svmove.journal import Kind
from svmove.model import DomainState
from svmove.move import checkpoints, hanging, keeping, storage, throttle, watch
from svmove.move.context import Move
from svmove.move.merge import fold, merge
from svmove.move.observe import Seen, Where
from svmove.move.ownership import (
    doubt_about_leaving,
    doubt_about_made,
    doubt_about_source,
    lie_below,
    used_elsewhere,
)
from svmove.move.phases import Phase
from svmove.move.quiet import thaw
from svmove.move.standstill import wake
from svmove.requests import Method
from svmove.volumes import DiskPlan, VolumeSpec


def commit(move: Move) -> Phase:
    """The sources go. One that can't be deleted is a leftover, not a failure."""
    throttle.release_if_possible(move)
    seen = move.observe()
    _end_export(move, seen)
    seen = merge_all(move, move.plan.disks, forward=True)
    _follow(move, seen)
    checkpoints.forget_lost(move, seen)
    elsewhere = used_elsewhere(move)
    if move.plan.method is Method.OFFLINE:
        elsewhere |= lie_below(move, seen)
    _delete_sources(move, seen, elsewhere)
    for disk in move.plan.disks:
        _remove_overlays(move, disk, seen, elsewhere)
    keeping.keep(move)
    for pool in {disk.destination.pool for disk in move.plan.disks}:
        _refresh(move, pool)
    _unmark(move, seen)
    return Phase.DONE


def _remove_overlays(move: Move, disk: DiskPlan, seen: Seen, elsewhere: Mapping[str, str]) -> None:
    """After the merge. The one at the source has what the guest wrote last there: where the source is kept, it is as
    it was at the cutover with both alone, so the one is brought into the other, or kept beside it."""
    if disk.overlay is None:
        return
    _remove_made(move, f"{disk.target}:to", disk.overlay.destination, seen, elsewhere)
    key, spec = f"{disk.target}:from", disk.overlay.source
    doubt = None
    if not move.noted("adopted") and not move.noted("removed", key) and move.world.host.identity(spec.path):
        doubt = doubt_about_leaving(move, disk, seen)
        if doubt is None and move.world.host.identity(disk.source) is not None:
            doubt = fold(move, disk, elsewhere)
    if doubt is None:
        _remove_made(move, key, spec, seen, elsewhere)
    else:
        _keep(move, key, spec, doubt, precious=not move.proven(disk.target))


def leave_behind(move: Move, disks: Sequence[DiskPlan]) -> None:
    """Of disks that another move carries back: one file at the destination, and the source as it was."""
    seen, elsewhere = merge_all(move, disks, forward=True), used_elsewhere(move)
    for disk in disks:
        _remove_overlays(move, disk, seen.of([disk]), elsewhere)


def _follow(move: Move, seen: Seen) -> None:
    """Snapshots' metadata point to where the files are now. If it can't be written, the old files are needed still."""
    moved = {path: new for disk in move.plan.disks for path, new in disk.moved.items()}
    if seen.domain.snapshots and not move.noted("adopted"):
        move.intend("redirect-snapshots", moved=moved)
        move.world.hypervisor.redirect_snapshots(move.plan.uuid, moved)


def _delete_sources(move: Move, seen: Seen, elsewhere: Mapping[str, str]) -> None:
    """What lies over others first: where a file is kept, all that it lies on is needed too."""
    files = [(disk, key, path) for disk in move.plan.disks for key, path in disk.deletable.items()]
    depths: dict[str, int] = {}
    for disk in move.plan.disks:
        for depth, path in enumerate(disk.deletable.values()):
            depths[path] = max(depth, depths.get(path, 0))
    needed, gone = dict(elsewhere), set[str]()
    for disk, key, path in sorted(files, key=lambda file: depths[file[2]]):
        volume = disk.volume_of(key)
        if path in gone and volume is not None and not move.noted("deleted", key):  # of two disks
            move.note("deleted", key, pool=volume[0], name=volume[1])
        _delete_source(move, disk, key, path, seen, needed)
        if move.noted("deleted", key):
            gone.add(path)
            continue
        if move.plan.keep_for is not None and not move.noted("source-kept", key):
            continue  # it waits, and so does what it lies on, each by itself
        below = list(disk.deletable.values())
        for lower in below[below.index(path) + 1 :]:
            if (identity := move.world.host.identity(lower)) is not None:
                needed.setdefault(identity, f"{path}, which is kept,")


def _delete_source(move: Move, disk: DiskPlan, key: str, path: str, seen: Seen, elsewhere: Mapping[str, str]) -> None:
    if move.noted("adopted"):  # what a marker says is no reason to delete anything
        move.note("source-kept", key, text=f"{path} was kept: the journal of the move was lost")
    volume = disk.volume_of(key)
    if volume is None or move.noted("deleted", key):
        return
    if move.intended("delete", key) and move.world.host.identity(path) is None:
        move.note("deleted", key)  # by an svmove that died before it could say so
        return
    doubt = doubt_about_source(move, disk, key, path, seen, elsewhere)
    if doubt is None and move.plan.keep_for is None:
        doubt = _delete(move, key, *volume, path, "deleted")
    if doubt is not None:
        # A guest that is off may never have run on its destination: then the source is the newer one.
        precious = (seen.off and not move.proven(disk.target)) or not watch.is_sure(move)
        move.note("source-kept", key, text=f"{path} was kept: {doubt}", precious=precious)


def _end_export(move: Move, seen: Seen) -> None:
    if seen.domain.state is not DomainState.GONE:
        move.world.hypervisor.end_export(move.plan.uuid, move.socket)
    move.world.host.remove_scratch(move.scratch)


def _unmark(move: Move, seen: Seen) -> None:
    if seen.domain.marker == move.plan.move:
        move.world.hypervisor.set_marker(move.plan.uuid, None)


def leave(move: Move, error: SvmoveError) -> None:
    """After a commit that failed: every file that is still there is told, and the domain is let go."""
    for disk in move.plan.disks:
        for key, path in disk.deletable.items():
            told = move.noted("deleted", key) or move.noted("source-kept", key)
            if disk.volume_of(key) is not None and not told:
                move.note("source-kept", key, text=f"{path} was kept: {error.text}")
        for key, spec in disk.made.items():
            told = move.noted("removed", key) or move.noted("destination-kept", key)
            if spec.path not in disk.stays and move.noted("created", key) and not told:
                _keep(move, key, spec, error.text)
    _try(move, lambda: move.world.hypervisor.set_marker(move.plan.uuid, None))


def hold(move: Move) -> None:
    """A move that waits for a person must not cost the guest anything meanwhile.

    The export is ended, because QEMU pauses the guest when its scratch file can't grow (but see `hanging`); a guest
    that we suspended, or that was paused for that, goes on. What fails is told: the hold itself must be recorded.
    """
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid

    def end_export() -> None:
        if (why := hanging.in_the_way(move)) is not None:
            move.note("export-left", why=why)
            return
        hypervisor.end_export(uuid, move.socket)
        move.world.host.remove_scratch(move.scratch)

    def stop_copying() -> None:
        rest = move.glance().of(move.pending).disks if move.over else ()
        for disk in rest:  # of a mixed move; `accept` copies it anew
            if disk.copies:
                hypervisor.cancel_copy(uuid, disk.target)

    def let_go_on() -> None:
        domain = hypervisor.domain(uuid)
        if not wake(move, domain) and domain.io_error and move.phase in (Phase.CUTOVER, Phase.VERIFYING):
            hypervisor.resume(uuid)

    _try(move, lambda: throttle.release(move))
    _try(move, end_export)
    _try(move, let_go_on)
    _try(move, lambda: thaw(move))
    _try(move, stop_copying)


def _try(move: Move, act: Callable[[], object]) -> None:
    try:
        act()
    except (UnreachableError, JournalError):
        raise
    except SvmoveError as error:
        move.say(text=error.text)


def roll_back(move: Move) -> Phase:
    """Back to the sources: what we made goes, when the guest is proven not to need it."""
    hypervisor = move.world.hypervisor
    if not any(entry.kind is Kind.INTENT for entry in move.record.entries):
        return Phase.ROLLED_BACK  # nothing was begun, so wherever the guest is, it is none of our doing
    throttle.release_if_possible(move)
    seen = move.glance()  # what it takes to cancel
    _end_export(move, seen)
    wake(move, seen.domain)
    for disk in seen.disks:
        if disk.copies:
            move.intend("cancel", disk.target)
            hypervisor.cancel_copy(move.plan.uuid, disk.target)

    def ended(_event: object) -> bool:
        nonlocal seen
        try:
            seen = move.observe()
        except SilentStorageError:
            seen = move.glance()
            return False
        return not any(disk.copies or disk.holds_destination for disk in seen.disks)

    if not move.await_(move.world.policy.move.cancel_wait, ended):
        if seen.where is Where.SOURCE and not move.may_be_over:
            move.note("proven", where=Where.SOURCE, seen=str(seen))
        raise storage.stuck(move, seen)
    if not (seen.where is Where.SOURCE or seen.off_on_source):
        raise CopyError(f"the guest is not proven on its sources: {seen}", reason="unclear")
    if seen.off and move.may_be_over and not move.noted("decided"):
        # libvirt may have missed the pivot, and the guest have written to the destination since.
        raise CopyError(f"the guest went off after a pivot was asked for: {seen}", reason="unclear")
    doubtful = seen.off and move.may_be_over
    if not doubtful:
        seen = merge_all(move, move.plan.disks, forward=False)
    remove_made(move, move.plan.disks, seen, doubtful=doubtful)
    if seen.domain.io_error and any(disk.overlay is not None for disk in move.plan.disks):
        # It was paused because it could not write into an overlay of ours; now there is none, and room again.
        hypervisor.resume(move.plan.uuid)
    _unmark(move, seen)
    return Phase.ROLLED_BACK


def merge_all(move: Move, disks: Sequence[DiskPlan], *, forward: bool) -> Seen:
    """No disk is on an overlay of ours any more. How it looks then. Raises CopyError."""
    for disk in disks:
        merge(move, disk, forward=forward)
    return move.observe()


def remove_made(move: Move, disks: Sequence[DiskPlan], seen: Seen, *, doubtful: bool = False) -> None:
    """Of disks whose guest is proven on its sources. `doubtful`: they may hold what no other file has."""
    elsewhere = used_elsewhere(move)
    for disk in disks:
        for key, spec in reversed(disk.made.items()):
            if doubtful:
                _keep(move, key, spec, "the guest may have run on it before it went off", precious=True)
            else:
                _remove_made(move, key, spec, seen, elsewhere)


def _remove_made(move: Move, key: str, spec: VolumeSpec, seen: Seen, elsewhere: Mapping[str, str]) -> None:
    ours = move.intended("create", key) or move.noted("adopted")
    if ours is None or spec.taken or move.noted("removed", key):
        return
    identity = move.world.host.identity(spec.path)
    if identity is None:
        if move.noted("created", key):
            _refresh(move, spec.pool)  # somebody removed it; libvirt may not know
        return
    doubt = doubt_about_made(move, key, spec, identity, seen, elsewhere)
    if doubt is None:
        if move.noted("created", key) is None:
            _refresh(move, spec.pool)  # libvirt may have died over it as well
        doubt = _delete(move, key, spec.pool, spec.name, spec.path, "removed")
    if doubt is not None:
        _keep(move, key, spec, doubt)


def _keep(move: Move, key: str, spec: VolumeSpec, why: str, *, precious: bool = False) -> None:
    """`precious`: as the only good copy, which `svmove gc` leaves alone too."""
    move.note("destination-kept", key, text=f"{spec.path} was kept: {why}", precious=precious)


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
