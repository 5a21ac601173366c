"""What stands in for a lock where there is none, while a guest is off: somebody who watches.

QEMU's locks (`svmove.host.lock`) are on files. libvirt opens a block device by a node of its own, in the guest's own
/dev, and on the network there is none. So a start can't be kept from happening there; it is seen. While this process
watches, libvirt tells of each start, and each look sees whether the guest is off still. What is copied and compared in
that time counts. What a process before this one has compared doesn't: in between the guest may have run, and gone off.
It is compared again, and what differs then is rolled back.
"""

from svmove import location
from svmove.errors import CopyError
from svmove.events import Event, EventKind
from svmove.journal import Entry, Kind
from svmove.model import DomainState
from svmove.move.context import Move
from svmove.requests import Method

# Between two looks at the domain, should an event be lost (seconds).
_LOOK = 0.5


def needed(move: Move) -> bool:
    """Whether a source is in a place where no lock keeps a guest from being started."""
    paths = (path for disk in move.plan.disks for path in disk.deletable.values())
    return move.plan.method is Method.OFFLINE and not all(map(location.is_file, paths))


def begin(move: Move) -> None:
    """From now on, in this process. To be called before it is looked how the guest is. Idempotent."""
    if move.watched is None and needed(move):
        while move.events.next(0) is not None:
            pass
        move.watched = move.world.clock.monotonic()
        move.note("watch")


def heed(move: Move) -> None:
    """One look. Raises CopyError when the guest was started."""
    if move.watched is None:
        return
    was_started = starts(move) > 0
    now = move.world.clock.monotonic()
    if now - move.watched >= _LOOK:
        move.watched = now
        state = move.world.hypervisor.domain(move.plan.uuid).state
        was_started = was_started or state not in (DomainState.OFF, DomainState.GONE)
    if was_started:
        raise CopyError(
            "the guest was started meanwhile, which no lock prevents on a device or on the network",
            reason="guest-started",
            remedy="move it as it runs, or shut it down and move again",
        )


def starts(move: Move) -> int:
    """Of which libvirt has told since this was asked last."""
    while move.watched is not None and (event := move.events.next(0)) is not None:
        tell(move, event)
    found, move.starts = move.starts, 0
    return found


def tell(move: Move, event: Event | None) -> None:
    """To be called with each event that somebody else takes."""
    if event is not None and event.kind is EventKind.STARTED:
        move.starts += 1


def counts(move: Move, entry: Entry | None, source: str) -> bool:
    """Whether what the journal says of the copy of that source holds still: nobody can have written to it since, or
    its lock and its stamp tell (of a file), or a process has watched from then on until now."""
    if entry is None or move.plan.method is not Method.OFFLINE or location.is_file(source):
        return entry is not None
    for newest in reversed(move.record.entries):
        if newest is entry:
            return True
        if newest.kind is Kind.FACT and newest.what == "watch":
            return False
    return False


def is_sure(move: Move) -> bool:
    """Whether the process that proved the copies has watched until the guest's XML named them."""
    proven = move.noted("proven")
    return not needed(move) or (proven is not None and bool(proven.data.get("watched")))
