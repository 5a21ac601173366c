"""Method `mirror`: QEMU copies each disk in the background and follows the guest's writes by a dirty bitmap.

Every act is idempotent: it looks first whether it was done, by this process or by one that died.
"""

from collections.abc import Sequence

from svmove.errors import CopyError, HostError, HypervisorError
from svmove.model import Event, EventKind
from svmove.move.context import Move
from svmove.move.governor import LOOK, Governor, buffer_for
from svmove.move.observe import DiskSeen, Seen, Where
from svmove.move.ownership import doubt_about_unrecorded, used_elsewhere
from svmove.move.phases import Phase
from svmove.moves import CopyOptions, DiskPlan, Method, VolumeSpec

# A lost event must not hang a move: readiness is also read from the XML this often (seconds).
_LOOK_AGAIN = 5.0
# Long enough for a slow disk to end its last requests after a failed job.
_REASON_WAIT = 1.0
# Between two looks at the progress, which has no event.
_REPORT = 0.25


def admit(move: Move) -> Phase:
    """The plan may be minutes old: nothing may have changed, and from here on the domain is marked as ours."""
    seen = move.observe()
    if seen.where is not Where.SOURCE:
        raise CopyError(f"the guest is not as the plan saw it: {seen}", reason="changed", remedy="plan again")
    return mark(move, seen)


def mark(move: Move, seen: Seen) -> Phase:
    foreign = [disk for disk in seen.disks if disk.mirror is not None]
    marker = seen.domain.marker
    if foreign or not (marker in (None, move.plan.move) or move.world.journal.has_ended(marker)):
        raise CopyError(f"somebody else has begun to work on the guest: {seen}", reason="changed", remedy="plan again")
    for disk in move.plan.disks:
        for key, path in disk.deletable.items():
            move.note("source", key, identity=move.world.host.identity(path))
    move.intend("mark")
    move.world.hypervisor.set_marker(move.plan.uuid, move.plan.move, move.plan.disks)
    return Phase.ADMITTED


def prepare(move: Move) -> Phase:
    for disk in move.plan.disks:
        for key, spec in disk.made.items():
            move.may_go_on()
            if move.noted("created", key) is None:
                _create(move, key, spec)
    return Phase.PREPARED


def _create(move: Move, key: str, spec: VolumeSpec) -> None:
    host = move.world.host
    if (identity := host.identity(spec.path)) is not None:
        _adopt(move, key, spec, identity)
        return
    move.intend("create", key, pool=spec.pool, name=spec.name, path=spec.path)
    try:
        volume = move.world.hypervisor.create_volume(spec)
    except HypervisorError as error:
        # What lies there now is somebody else's, who was quicker, or at least not provably ours.
        move.note("not-created", key, text=error.text)
        raise
    move.note("created", key, pool=spec.pool, name=spec.name, identity=host.identity(volume.path))
    if volume.path != spec.path or volume.capacity != spec.capacity:
        raise CopyError(
            f"pool {spec.pool} made {volume.path} with {volume.capacity} bytes; "
            f"wanted were {spec.path} and {spec.capacity}",
            reason="pool-lies",
        )


def _adopt(move: Move, key: str, spec: VolumeSpec, identity: str) -> None:
    """Takes the volume that an svmove made before it died. Raises CopyError when it isn't provably that."""
    hypervisor = move.world.hypervisor
    if doubt_about_unrecorded(move, key, spec, identity, used_elsewhere(move)) is not None:
        raise CopyError(f"{spec.path} exists already", reason="name-taken", remedy="give another name")
    hypervisor.refresh_pool(spec.pool)  # libvirt may have died over it as well
    volume = hypervisor.volume_at(spec.path)
    if volume is None or (volume.name, volume.capacity) != (spec.name, spec.capacity):
        raise CopyError(f"{spec.path} was only half made", reason="half-made", remedy="move again")
    move.note("created", key, pool=spec.pool, name=spec.name, identity=identity)


def start(move: Move) -> Phase:
    seen = {disk.target: disk for disk in at_rest(move).disks}
    for disk in move.pending:
        move.may_go_on()
        if not seen[disk.target].copies:
            start_one(move, disk, seen[disk.target])
    return Phase.COPYING


def start_one(move: Move, disk: DiskPlan, seen: DiskSeen) -> None:
    if not seen.destination_is_ours:
        raise replaced(disk.destinations)
    options = CopyOptions(
        bandwidth=disk.bandwidth,
        granularity=move.plan.granularity,
        buffer=buffer_for(disk.bandwidth, move.plan.buffer),
        synchronous=move.plan.method is Method.SYNCHRONOUS,
        shallow=disk.shallow,
    )
    move.intend("copy", disk.target)
    move.world.hypervisor.start_copy(move.plan.uuid, disk.target, disk.lands, options)


def at_rest(move: Move) -> Seen:
    """In a second round, what the first one left must have ended, or its end would be taken for that of the new
    copy: jobs that are being cancelled, and events that nobody has read. Raises CopyError."""
    seen = move.observe()
    if not (move.noted("proven") or move.noted("decided")):
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
    """Waits for the barrier: all mirrors ready. By event; the XML is asked first, and now and then."""
    try:
        _await_all(move)
    except HostError:
        unless_replaced(move.observe().of(move.pending))  # says more than "no such file"
        raise
    except HypervisorError as error:
        # libvirt says so to whoever asks for the job before it sends its event.
        if move.observe().domain.live:
            raise
        raise stopped() from error
    _measure(move)
    return Phase.READY


def _await_all(move: Move) -> None:
    ready = _ready(move.observe().of(move.pending))
    if "bandwidth" in move.world.journal.requests.changes(move.plan.move):
        _lift(move)  # whatever limit a dead svmove has left on the jobs; the governor sets its own
    governor = _governor(move, None)
    while len(ready) < len(move.pending):
        look_again = move.world.clock.monotonic() + _LOOK_AGAIN
        while len(ready) < len(move.pending) and move.world.clock.monotonic() < look_again:
            move.may_go_on()
            governor = _governor(move, governor)
            event = move.events.next(_REPORT if governor is None else LOOK)
            if event is None:
                _report(move, ready, governor)
            else:
                _heed(move, event, ready)
        if len(ready) < len(move.pending):
            ready |= _ready(move.observe().of(move.pending))
    _report(move, ready, None)


def _governor(move: Move, now: Governor | None) -> Governor | None:
    """For the terms as they are now; the same one while they have not changed."""
    cap = move.terms().bandwidth
    if cap == (now.cap if now else None):
        return now
    if cap is None:
        _lift(move)
        return None
    return Governor(cap)


def _lift(move: Move) -> None:
    for disk in move.pending:
        move.world.hypervisor.set_bandwidth(move.plan.uuid, disk.target, None)


def _ready(seen: Seen) -> set[str]:
    """Raises CopyError when a mirror is gone: a vanished job is never success."""
    if seen.off:
        raise stopped()
    for disk in seen.disks:
        if not disk.copies:
            raise CopyError(f"the copy of {disk.target} is gone: {disk}", reason="job-vanished")
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
        size, least = move.world.host.size(spec.path), move.lengths.get(disk.target, 0)
        if spec.format == "raw":
            least = spec.capacity
        if size < least:
            raise CopyError(f"somebody has cut {spec.path} off at {size} bytes", reason="destination-replaced")
        move.lengths[disk.target] = size


def stopped() -> CopyError:
    return CopyError("the guest was stopped while its disks were copied", reason="guest-stopped")


def replaced(paths: Sequence[str]) -> CopyError:
    return CopyError(
        f"somebody removed {', '.join(paths)}, or put another file in its place", reason="destination-replaced"
    )


def _heed(move: Move, event: Event, ready: set[str]) -> None:
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
    if reason is not None and "No space left" in reason:
        code, remedy = "no-space", "free space in the destination pool, or choose another"
    return CopyError(
        f"the copy of {event.target} failed: {reason or 'QEMU gave no reason'}", reason=code, remedy=remedy
    )


def _report(move: Move, ready: set[str], governor: Governor | None) -> None:
    left: dict[str, int] = {}
    unless_cut(move)
    for disk in move.pending:
        job = move.world.hypervisor.job(move.plan.uuid, disk.target)
        if job is not None and job.remaining is not None:
            move.say(disk.target, job.done, job.end, "ready" if disk.target in ready else None)
            # QEMU has been through all of it once; what it copies now are rewrites, which no file grows by.
            left[disk.target] = max(disk.destination.capacity - job.done, 0)
    if governor is not None and any(left.values()):
        _govern(move, governor, left)


def _govern(move: Move, governor: Governor, left: dict[str, int]) -> None:
    data = sum(move.world.host.allocated(disk.lands.path) for disk in move.pending)
    limits = governor.limits(move.world.clock.monotonic(), data, left)
    for target, limit in limits.items():
        move.world.hypervisor.set_bandwidth(move.plan.uuid, target, limit)


def _measure(move: Move) -> None:
    """How much arrived, and how fast, for the report and for the estimate of later moves."""
    free = "bandwidth" not in move.world.journal.requests.changes(move.plan.move)  # capped for no part of it
    for disk in move.pending:
        arrived = move.world.host.allocated(disk.destination.path)
        move.note("copied", disk.target, bytes=arrived)
        began = move.intended("copy", disk.target)
        seconds = move.world.clock.now() - began.at if began else 0.0
        if free and not disk.frozen and disk.bandwidth is None and disk.pool_from is not None and seconds > 0:
            pools = {"from": disk.pool_from, "to": disk.destination.pool}
            move.note("rate", disk.target, **pools, rate=arrived / seconds)
