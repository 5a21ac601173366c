"""Method `offline`: the guest is off. Its images are copied and proven, and then its XML names the copies.

Why no byte can be lost here:
- A lock that QEMU respects is on every source that is a file (`svmove.host.lock`), from before its first byte is copied
  until the XML names the copies. A guest that is started meanwhile fails at the lock, and the move goes on. It can't be
  started onto half a copy either: until all of it is proven, the XML names the sources.
- Elsewhere a start is seen (`svmove.move.watch`), and takes the move back: the guest runs on its sources.
- The lock dies with svmove. So what the sources are (`Host.stamp`: which file, its length, the time of its last write)
  is in the journal, noted under the first lock, and looked at under every later one. A guest that ran in between has
  written, if to its journal alone: then the copy is worth nothing, and is rolled back, never gone on with.
- The XML is written with the lock still held, its intention journalled, and is proven by reading it back. A start that
  libvirt had begun just before, with the old XML in its hand, fails at the lock like any other, and leaves the new XML
  for the next one. So after the XML was written it is waited for until the guest is off, or runs on the copies.
- What can't be told after that is held, with both copies kept.
"""

from collections.abc import Iterator

from svmove import location
from svmove.errors import CopyError, HostError, HypervisorError
from svmove.events import Event
from svmove.model import DomainState
from svmove.move import allocation, gate, media, mirror, prepare, watch
from svmove.move.bring import bring, prove
from svmove.move.context import Move
from svmove.move.definition import define
from svmove.move.observe import Seen, Where
from svmove.move.phases import Phase
from svmove.requests import Verify
from svmove.volumes import DiskPlan, Layer, VolumeSpec

# A start that fails at the lock takes a second or two, libvirt's clearing up included.
_START_ENDS = 30.0


def admit(move: Move) -> Phase:
    """The plan may be minutes old: nothing may have changed. What the sources are now is what they must stay."""
    seen = _locked(move)
    for disk in move.plan.disks:
        _lies_on_what_is_locked(move, disk)
        for key, path in disk.deletable.items():
            move.note("stamp", key, stamp=move.world.host.stamp(path))
    return prepare.mark(move, seen)


def start(move: Move) -> Phase:
    _unchanged(move)
    return Phase.COPYING


def copy(move: Move) -> Phase:
    _unchanged(move)
    for disk in move.plan.disks:
        for key, what in _deepest_first(disk):
            bring(move, disk, key, what, _go_on)
        if move.plan.verify is not Verify.NONE and not move.noted("verified", disk.target):
            move.note("verified", disk.target, mismatches=[])
        move.note("copied", disk.target, bytes=move.world.host.allocated(disk.destination.path))
    allocation.allocate(move)
    return Phase.READY


def _deepest_first(disk: DiskPlan) -> list[tuple[str, tuple[Layer, VolumeSpec]]]:
    """What lies below must be there when it is looked through."""
    return list(reversed((disk.top | disk.frozen).items()))


def _go_on(move: Move) -> None:
    move.may_go_on()
    watch.heed(move)


def ready(move: Move) -> Phase:
    if move.opens is not None:
        move.unlock()  # whoever wants to start the guest meanwhile must be able to; the stamps tell, and it goes back
        gate.wait(move, lambda event: _unless_started(move, event))
    _unchanged(move)
    return Phase.CUTOVER


def _unless_started(move: Move, event: Event | None) -> None:
    watch.tell(move, event)
    watch.heed(move)
    if not move.observe().off:
        raise _started()


def switch(move: Move) -> Phase:
    """All disks by one definition. Raises CopyError only where the guest is proven on its sources."""
    watch.begin(move)
    seen = move.observe()
    if _strayed(seen):
        return _take_back(move)
    if seen.off_on_source or seen.where is Where.SOURCE:
        if move.may_be_over:  # an svmove that died had it in mind, and did not do it
            move.note("proven", where=Where.SOURCE, seen=str(seen))
        if not _all_brought(move) or move.opens is not None:
            return Phase.PREPARED  # nobody has watched since, so it is compared again; or the window has closed
        _redefine(move)
    return _settle(move)


def _all_brought(move: Move) -> bool:
    """And watched since."""
    files = [(key, layer.source) for disk in move.plan.disks for key, (layer, _) in _deepest_first(disk)]
    return all(watch.counts(move, move.noted("brought", key), source) for key, source in files)


def commit(move: Move) -> Phase:
    # What starts now starts from the copies; and a file that svmove itself has open is not deleted.
    move.unlock()
    return media.commit(move)


def _redefine(move: Move) -> None:
    _unchanged(move)
    move.may_go_on()  # the last chance
    if wrong := _replaced(move):
        raise mirror.replaced(wrong)
    sources = {disk.target: (disk.destination.path, disk.destination.format) for disk in move.plan.disks}
    for _ in range(move.world.policy.move.cutover_attempts):
        try:
            define(move, sources, running=False)
        except HypervisorError as error:  # one reason is a start that is under way, and will fail
            trouble = error
        else:
            return
        seen = _rested(move)
        if watch.starts(move) and (seen.off_on_source or seen.where is Where.SOURCE):
            move.note("proven", where=Where.SOURCE, seen=str(seen))
            raise _started()
        if not seen.off_on_source:
            return  # what it is then, is looked at by `_settle`
    move.note("proven", where=Where.SOURCE, seen=str(seen))
    raise CopyError(f"the XML can't be written: {trouble.text}", reason="redefine-failed", remedy=trouble.remedy)


def _settle(move: Move) -> Phase:
    """After the XML may have been written: waits until it is certain from where the guest's next start is."""
    trouble, watched = None, _all_brought(move)
    try:
        _lock(move)
        seen = _rested(move)
        trouble = next(_changed(move), None)
        if watch.needed(move) and _strayed(seen):
            return _take_back(move)
        starts = watch.starts(move)
        if seen.off_on_destination and (starts or not watched):
            # From what it started, or did while nobody watched, can't be told; but if it wrote nothing, no matter.
            trouble, watched = _difference(move), True
        elif starts > 1:  # it runs on the copies now; before that, perhaps not
            watched = False
    except HostError as error:  # somebody writes to a source
        seen, trouble = move.observe(), error.text
    if trouble or _replaced(move) or not (seen.off_on_destination or seen.where is Where.DESTINATION):
        move.blame("unclear", f"after the XML was to be written ({trouble or 'no error was seen'}): {seen}")
        return Phase.HELD
    for disk in move.pending:
        move.note("over", disk.target)
    move.note("proven", where=Where.DESTINATION, seen=str(seen), watched=watched)
    return Phase.COMMITTED


def _difference(move: Move) -> str | None:
    """Of sources without a stamp: whether source and copy are equal still, of a guest that is off; in words. Raises
    HostError."""
    try:
        for disk in move.plan.disks:
            if not location.is_file(disk.source):
                ((key, what),) = disk.top.items()
                prove(move, disk, key, what, Move.say)
    except CopyError as error:
        return error.text
    return None


def _strayed(seen: Seen) -> bool:
    """It runs on its sources, with the copies in the XML of its next start: svmove was killed, and its lock freed,
    while a start was under way that still had the old XML."""
    return seen.domain.live != () and all(
        disk.live in disk.plan.sources
        and disk.inactive in disk.plan.destinations
        and disk.holds_source
        and not disk.holds_destination
        for disk in seen.disks
    )


def _take_back(move: Move) -> Phase:
    """The guest goes on on its sources, and starts from them the next time."""
    sources = {disk.target: (disk.source, disk.source_format) for disk in move.plan.disks}
    define(move, sources, running=True)
    seen = move.observe()
    if seen.where is not Where.SOURCE:
        move.blame("unclear", f"after the XML was taken back: {seen}")
        return Phase.HELD
    move.note("proven", where=Where.SOURCE, seen=str(seen))
    raise _started()


def _locked(move: Move) -> Seen:
    """The guest is off, on its sources, and can't be started, or not unseen. Raises CopyError."""
    watch.begin(move)
    try:
        _lock(move)
    except HostError as error:
        if move.observe().off:
            raise CopyError(error.text, reason="source-in-use", remedy=error.remedy) from error
        raise _started() from error
    seen = _rested(move)
    watch.heed(move)
    if seen.domain.managed_save:
        raise CopyError("the guest has a saved state, which names the old files", reason="managed-save")
    if not seen.off_on_source or seen.domain.state is not DomainState.OFF:
        raise CopyError(f"the guest is not as the plan saw it: {seen}", reason="changed", remedy="plan again")
    return seen


def _unchanged(move: Move) -> None:
    """Likewise, and the sources are what they were when the copy was begun. Raises CopyError."""
    _locked(move)
    if (trouble := next(_changed(move), None)) is not None:
        raise CopyError(trouble, reason="source-changed", remedy="move again")


def _lies_on_what_is_locked(move: Move, disk: DiskPlan) -> None:
    """A chain that becomes one file is read by the names in its headers: they must be the planned ones still. From then
    on the stamps tell. Raises CopyError."""
    if not disk.flattens:
        return
    host = move.world.host
    planned = [host.identity(layer.source) for layer in disk.layers]
    below = [path for path, _ in host.chain(disk.source, disk.source_format)]
    if [host.identity(path) for path in below] != planned:
        text = f"below {disk.source} lie other files than the plan saw: {', '.join(below) or 'none'}"
        raise CopyError(text, reason="changed", remedy="plan again")


def _lock(move: Move) -> None:
    for disk in move.plan.disks:
        for path in disk.deletable.values():
            move.lock(path)


def _rested(move: Move) -> Seen:
    """How it looks when no start is under way any more: with the lock held, none gets anywhere but on the copies."""
    seen = move.observe()

    def rests(event: Event | None) -> bool:
        nonlocal seen
        watch.tell(move, event)
        seen = move.observe()
        runs = watch.needed(move) and (_strayed(seen) or seen.where is Where.SOURCE)
        return seen.off or seen.where is Where.DESTINATION or runs

    move.await_(_START_ENDS, rests)
    return seen


def _changed(move: Move) -> Iterator[str]:
    """Of each source that is not what it was, in words."""
    for disk in move.plan.disks:
        for key, path in disk.deletable.items():
            noted = move.noted("stamp", key)
            if noted is None or move.world.host.stamp(path) != noted.data["stamp"]:
                yield f"somebody has written to {path} since it was copied, or put another file in its place"


def _replaced(move: Move) -> list[str]:
    """Destinations that are not the files that were made."""
    host = move.world.host
    made = {spec.path: move.noted("created", key) for disk in move.plan.disks for key, spec in disk.made.items()}
    return [path for path, entry in made.items() if entry is None or host.identity(path) != entry.data["identity"]]


def _started() -> CopyError:
    return CopyError(
        "the guest was started while nobody held the lock on its disks",
        reason="guest-started",
        remedy="move it as it runs, or shut it down and move again",
    )
