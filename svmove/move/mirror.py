"""Method `mirror`: QEMU copies each disk in the background and follows the guest's writes by a dirty bitmap.

Every act is idempotent: it looks first whether it was done, by this process or by one that died.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from svmove import location
from svmove.errors import CopyError, HostError, HypervisorError, SilentStorageError
from svmove.events import Event, EventKind
from svmove.model import Job
from svmove.move import converge, limits, room, storage, throttle
from svmove.move.allocation import allocate
from svmove.move.context import Move
from svmove.move.converge import Converge
from svmove.move.governor import LOOK, Governor, buffer_for
from svmove.move.observe import DiskSeen, Seen
from svmove.move.phases import Phase
from svmove.volumes import CopyOptions, DiskPlan, VolumeSpec

# A lost event must not hang a move: readiness is also read from the XML this often (seconds).
_LOOK_AGAIN = 5.0
# Long enough for a slow disk to end its last requests after a failed job.
_REASON_WAIT = 1.0
# Between two looks at the progress, which has no event.
_REPORT = 0.25


def start(move: Move) -> Phase:
    seen = {disk.target: disk for disk in at_rest(move).disks}
    storage.unless_too_slow(move)
    for disk in move.pending:
        move.may_go_on()
        if not seen[disk.target].copies:
            start_one(move, disk, seen[disk.target])
    return Phase.COPYING


def start_one(move: Move, disk: DiskPlan, seen: DiskSeen) -> None:
    if not seen.destination_is_ours:
        raise replaced(disk.destinations)
    storage.unless_source_full(move, disk)
    bandwidth = limits.share(move, disk)
    synchronous = converge.is_synchronous(move, disk.target)
    options = CopyOptions(
        bandwidth=bandwidth,
        # What the guest has written to both leaves gaps in what is still to be copied, and fine ones would fill holes.
        granularity=(None if synchronous else disk.granularity) or move.plan.granularity,
        buffer=storage.buffer(move, disk, buffer_for(bandwidth, move.plan.buffer)),
        sliced=_is_larger(move, disk.lands),
        synchronous=synchronous,
        shallow=disk.shallow,
    )
    move.intend("copy", disk.target)
    move.world.hypervisor.start_copy(move.plan.uuid, disk.target, disk.lands, options)


def _is_larger(move: Move, spec: VolumeSpec) -> bool:
    """Devices and LUNs come in sizes of their own."""
    return not location.is_file(spec.path) and move.world.host.size(spec.path) > spec.length


def at_rest(move: Move) -> Seen:
    """In a second round, what the first one left must have ended, or its end would be taken for that of the new
    copy: jobs that are being cancelled, and events that nobody has read. Raises CopyError."""
    seen = move.observe()
    if not (move.noted("proven") or move.noted("decided") or converge.begun_again(move)):
        return seen  # the first round

    def ended(_event: object) -> bool:
        nonlocal seen
        seen = move.observe()
        return not any(disk.mirror is not None and disk.mirror.ending for disk in seen.disks)

    if not move.await_(move.world.policy.move.cancel_wait, ended):
        raise CopyError(f"an earlier copy does not end: {seen}", reason="cancel-failed")
    while move.events.next(0) is not None:
        pass
    return seen


def copy(move: Move) -> Phase:
    """Waits for the barrier: all mirrors ready. By event; the XML is asked first, and now and then.

    Or for what `converge` does about mirrors that would never be."""
    if converge.to_begin_again(move):  # somebody has died over it
        return converge.begin_again(move)
    throttle.release_if_possible(move)  # of a dead svmove, or of a pause that did not suffice
    with explained(move):
        following = _await_all(move)
    if following is Phase.READY:
        _measure(move)
        allocate(move)
    return following


@contextmanager
def explained(move: Move) -> Iterator[None]:
    """What somebody else has done to the guest or its copies says more than the error that comes of it."""
    try:
        yield
    except HostError:
        unless_replaced(move.observe().of(move.pending))  # says more than "no such file"
        raise
    except HypervisorError as error:
        # libvirt says so to whoever asks for the job before it sends its event.
        if move.observe().domain.live:
            raise
        raise stopped() from error


def _await_all(move: Move) -> Phase:
    watched = Converge(move)
    ready = _ready(move)
    if limits.vary(move):  # a dead svmove has left whatever limit on the jobs
        limits.give(move, move.terms().bandwidth)
    governor = _governor(move, None)
    while len(ready) < len(move.pending):
        look_again = move.world.clock.monotonic() + _LOOK_AGAIN
        while len(ready) < len(move.pending) and move.world.clock.monotonic() < look_again:
            if (following := watched.at_deadline()) is not None:
                return following
            move.may_go_on()
            governor = _governor(move, governor)
            event = move.events.next(_REPORT if governor is None else LOOK)
            if event is not None:
                heed(move, event, ready)
            elif (following := watched.look(_report(move, ready, governor, watched), ready)) is not None:
                return following
        if len(ready) < len(move.pending):
            ready |= _ready(move)
    _report(move, ready, None, watched)
    return Phase.READY


def _governor(move: Move, now: Governor | None) -> Governor | None:
    """For the terms as they are now; the same one while they have not changed."""
    cap = move.terms().bandwidth
    if cap == (now.cap if now else None):
        return now
    if cap is None:
        limits.give(move, None)
        return None
    return Governor(cap)


def _ready(move: Move) -> set[str]:
    """Raises CopyError when a mirror is gone: a vanished job is never success."""
    try:
        seen = move.observe().of(move.pending)
    except SilentStorageError:
        return set()  # how long it is waited for is `storage`'s
    if seen.off:
        raise stopped()
    if not seen.all_copy:
        raise lost(move, seen)
    unless_replaced(seen)
    return {disk.target for disk in seen.disks if disk.mirror is not None and disk.mirror.ready}


def unless_replaced(seen: Seen) -> None:
    """Raises CopyError: QEMU writes to the file that it opened, but at the pivot it opens what lies at the path."""
    if seen.replaced:
        raise replaced(seen.replaced)


def unless_cut(move: Move) -> None:
    """Raises CopyError when somebody has cut off a destination: what was copied into that part is gone, and QEMU
    does not notice. An image only grows while it is copied; a raw one has its whole length from the start."""
    for disk in move.pending:
        spec = disk.lands
        if not location.is_file(spec.path):
            continue  # nothing cuts a device off, and asking a server for it each time would take longer than it may
        size, least = move.world.host.size(spec.path), move.lengths.get(disk.target, 0)
        if spec.format == "raw":
            least = max(spec.capacity, least)  # with LUKS there is a header besides
        if size < least:
            raise _cut(spec.path, size)
        move.lengths[disk.target] = size
        for key, (_, below) in disk.frozen.items():  # which nobody writes to any more
            brought = move.noted("brought", key)
            if brought is not None and (size := move.world.host.size(below.path)) < brought.data.get("size", 0):
                raise _cut(below.path, size)


def _cut(path: str, size: int) -> CopyError:
    return CopyError(f"somebody has cut {path} off at {size} bytes", reason="destination-replaced")


def stopped() -> CopyError:
    return CopyError("the guest was stopped while its disks were copied", reason="guest-stopped")


def replaced(paths: Sequence[str]) -> CopyError:
    return CopyError(
        f"somebody removed {', '.join(paths)}, or put another file in its place", reason="destination-replaced"
    )


def heed(move: Move, event: Event, ready: set[str]) -> None:
    room.heed(move, event)
    match event.kind:
        case EventKind.READY if event.target is not None:
            ready.add(event.target)
        case EventKind.FAILED | EventKind.REASON:
            raise failure(move, event)
        case EventKind.COMPLETED:
            raise CopyError(f"somebody else pivoted {event.target}", reason="foreign-pivot")
        case EventKind.CANCELED:
            raise CopyError(f"somebody cancelled the copy of {event.target}", reason="job-cancelled")
        case EventKind.STOPPED:
            raise stopped()
        case _:
            pass


def failure(move: Move, event: Event) -> CopyError:
    """The error of a failed job. QEMU's reason comes in an event of its own, before libvirt's or after."""
    reason = event.text if event.kind is EventKind.REASON else None

    def found(other: Event | None) -> bool:
        nonlocal reason
        if other is not None and other.kind is EventKind.REASON and other.target == event.target:
            reason = other.text
        return reason is not None

    if reason is None:
        move.await_(_REASON_WAIT, found)
    code, remedy = "copy-failed", None
    to = next((f" to {disk.lands.path}" for disk in move.plan.disks if disk.target == event.target), "")
    if reason is not None and "No space left" in reason:
        code, remedy = "no-space", "free space in the destination pool, or choose another"
    return CopyError(
        f"the copy of {event.target}{to} failed: {reason or 'QEMU gave no reason'}", reason=code, remedy=remedy
    )


def lost(move: Move, seen: Seen) -> CopyError:
    """Why a copy is gone: by its event, when that comes, and QEMU's reason."""
    found: CopyError | None = None

    def told(event: Event | None) -> bool:
        nonlocal found
        try:
            if event is not None:
                heed(move, event, set())
        except CopyError as error:
            found = error
        return found is not None

    move.await_(_REASON_WAIT, told)
    return found or CopyError(f"a copy was lost, and nobody says why: {seen}", reason="job-vanished")


def _report(move: Move, ready: set[str], governor: Governor | None, watched: Converge) -> dict[str, Job]:
    left: dict[str, int] = {}
    jobs: dict[str, Job] = {}
    unless_cut(move)
    room.enough(move)
    for disk in move.pending:
        job = move.world.hypervisor.job(move.plan.uuid, disk.target)
        if job is not None and job.remaining is not None:
            jobs[disk.target] = job
            is_ready = disk.target in ready
            text, seen = ("ready", {"converges": True}) if is_ready else (None, watched.predicted(disk.target))
            move.say(disk.target, job.done, job.end, text, **seen)
            # QEMU has been through all of it once; what it copies now are rewrites, which no file grows by.
            left[disk.target] = max(disk.destination.capacity - job.done, 0)
    if governor is not None and any(left.values()):
        _govern(move, governor, jobs, left)
    return jobs


def _govern(move: Move, governor: Governor, jobs: dict[str, Job], left: dict[str, int]) -> None:
    data = sum(_arrived(move, disk, jobs.get(disk.target)) for disk in move.pending)
    limits = governor.limits(move.world.clock.monotonic(), data, left)
    for target, limit in limits.items():
        move.world.hypervisor.set_bandwidth(move.plan.uuid, target, limit)


def _arrived(move: Move, disk: DiskPlan, job: Job | None) -> int:
    """Of data, in bytes. Of what is no file QEMU's own figure, which counts holes: their share of the rate is lost."""
    if location.is_file(disk.lands.path):
        return move.world.host.allocated(disk.lands.path)
    return job.done if job else 0


def _measure(move: Move) -> None:
    """How much arrived, and how fast, for the report and for the estimate of later moves."""
    # Capped for no part of it, and all in one go.
    free = not limits.vary(move) and not any(move.noted("never-ready", disk.target) for disk in move.pending)
    for disk in move.pending:
        arrived = move.world.host.allocated(disk.destination.path)
        move.note("copied", disk.target, bytes=arrived)
        began = move.intended("copy", disk.target)
        seconds = move.world.clock.now() - began.at if began else 0.0
        if free and not disk.frozen and disk.bandwidth is None and disk.pool_from is not None and seconds > 0:
            pools = {"from": disk.pool_from, "to": disk.destination.pool}
            move.note("rate", disk.target, **pools, rate=arrived / seconds)
