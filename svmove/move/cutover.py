"""The point of no return.

    suspend → drain → pivot → export → resume → prove

Why no byte can be lost here:
- The guest stands still from before the last dirty block is copied until after the pivot, so at the pivot
  both copies are equal, and neither changes.
- The intention to pivot is in the journal before the guest is suspended. Whoever comes after a crash knows
  that a disk may be on its destination, and looks (`observe`) before it does anything.
- Nothing is believed: the pivot is proven by live XML, inactive XML and QEMU's open files. What is neither
  proven "still on the source" nor proven "on the destination" is held, with both copies kept.
- Nothing is deleted here.

Why the guest never stands still for longer than it was promised: it is resumed in a `finally`, at the latest
when `max_pause` is over. Before a pivot is requested that means "on the source, nothing happened". After it,
QEMU can't be called back; the guest runs, and the proof tells where.

The export is begun while the guest still stands: it freezes the destination, for the reader, as it was at
this instant, and the released source can't change any more. Comparing the two proves every byte.
"""

from dataclasses import dataclass

from svmove.errors import CopyError, HypervisorError, NotReadyError, SvmoveError
from svmove.model import DomainState, Event, EventKind
from svmove.move.context import Move
from svmove.move.observe import Seen, Where
from svmove.move.phases import Phase
from svmove.moves import Verify

# Between two looks at what is left to drain; there is no event for it. A look takes about 1 ms.
_DRAIN_LOOK = 0.003
# libvirt closes the old image and writes its XML after the event; under load that takes a moment.
_PROOF_WAIT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    pause: float  # seconds
    requested: bool  # a pivot was asked for: only now may a disk be on its destination
    exported: bool
    trouble: str | None = None


def cut_over(move: Move) -> Phase:
    seen = move.observe()
    if seen.where is Where.SOURCE and seen.all_ready:
        return _switch(move, seen)
    # Somebody died in here. The guest must not pay for it: if it was us who suspended it, it goes on first.
    wake(move, seen)
    return _settle(move, trouble="svmove was stopped in the middle of the cutover", exported=_export_is_there(move))


def _switch(move: Move, seen: Seen) -> Phase:
    wake(move, seen)
    policy = move.world.policy.move
    for number in range(1, policy.cutover_attempts + 1):
        attempt = _attempt(move, number)
        move.note(
            "paused",
            seconds=attempt.pause,
            requested=attempt.requested,
            exported=attempt.exported,
            trouble=attempt.trouble,
        )
        if attempt.requested:
            return _settle(move, trouble=attempt.trouble, exported=attempt.exported)
        move.stop_if_cancelled()
        if number < policy.cutover_attempts:
            move.world.clock.sleep(policy.attempt_wait)
    raise CopyError(
        f"the guest's pause would have been longer than {move.plan.max_pause:g} s ({attempt.trouble})",
        reason="pause-exceeded",
        remedy="allow a longer one: --max-pause, or move when the guest writes less",
    )


def _attempt(move: Move, number: int) -> _Attempt:
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    running = hypervisor.domain(uuid).state is DomainState.RUNNING
    move.intend("pivot", attempt=number, suspends=running)
    requested = exported = False
    trouble: str | None = None
    began = clock.monotonic()
    deadline = began + move.plan.max_pause
    try:
        if running:
            hypervisor.suspend(uuid)
        if not _drained(move, deadline - move.world.policy.move.pivot_reserve):
            trouble = "what was left to copy did not fit in"
        else:
            for disk in move.plan.disks:
                hypervisor.request_pivot(uuid, disk.target)
                requested = True
            trouble = _await_pivots(move, deadline)
            if trouble is None and move.plan.verify is Verify.CUTOVER:
                exported = _begin_export(move)
    except HypervisorError as error:
        trouble = error.text
        # Only "not ready" says for sure that nothing was begun.
        requested = requested or not isinstance(error, NotReadyError)
    finally:
        if running:
            hypervisor.resume(uuid)
    return _Attempt(
        pause=clock.monotonic() - began if running else 0.0,
        requested=requested,
        exported=exported,
        trouble=trouble,
    )


def _drained(move: Move, deadline: float) -> bool:
    """Whether nothing is dirty any more. The guest stands still, so what is clean now stays clean."""
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    for disk in move.plan.disks:
        if disk.bandwidth is not None:  # the cap is for the bulk; the rest is what the guest waits for
            hypervisor.set_bandwidth(uuid, disk.target, None)
    while True:
        jobs = [hypervisor.job(uuid, disk.target) for disk in move.plan.disks]
        if clock.monotonic() >= deadline:
            return False
        if all(job is not None and job.done >= job.end for job in jobs):
            return True
        clock.sleep(_DRAIN_LOOK)


def _await_pivots(move: Move, deadline: float) -> str | None:
    """None when every pivot has completed; else what went wrong first."""
    waiting = {disk.target for disk in move.plan.disks}
    trouble: str | None = None

    def heed(event: Event | None) -> bool:
        nonlocal trouble
        match event:
            case Event(kind=EventKind.COMPLETED, target=target) if target in waiting:
                waiting.remove(target)
            case Event(kind=EventKind.REASON, target=target, text=text):
                trouble = f"the pivot of {target} failed: {text}"
            case Event(kind=EventKind.FAILED | EventKind.CANCELED, target=target):
                trouble = trouble or f"the pivot of {target} failed"
            case Event(kind=EventKind.STOPPED):
                trouble = "the guest was stopped during the cutover"
            case Event(kind=EventKind.DISCONNECTED):
                trouble = "libvirt went away during the cutover"
            case _:
                pass
        return not waiting or trouble is not None

    if not move.await_(deadline - move.world.clock.monotonic(), heed):
        return "the pivot took longer than the pause that was promised"
    return trouble


def _begin_export(move: Move) -> bool:
    try:
        move.world.hypervisor.begin_export(move.plan.uuid, scratch_files(move), move.socket)
    except SvmoveError as error:
        # The guest is on its destination and goes on; only the proof is lost.
        move.say(text=f"no export: {error.text}")
        return False
    return True


def scratch_files(move: Move) -> dict[str, str]:
    return {disk.target: f"{move.scratch}/{disk.target}.qcow2" for disk in move.plan.disks}


def wake(move: Move, seen: Seen) -> None:
    """Resumes a guest that a dead svmove left suspended. One that a person paused stays paused."""
    last = next((e for e in reversed(move.record.entries) if e.what in ("pivot", "paused")), None)
    if last is not None and last.what == "pivot" and last.data["suspends"] and seen.domain.state is DomainState.PAUSED:
        move.world.hypervisor.resume(move.plan.uuid)
        move.note("woken")


def _export_is_there(move: Move) -> bool:
    return move.plan.verify is Verify.CUTOVER and move.world.hypervisor.exports(move.plan.uuid, move.socket)


def _settle(move: Move, *, trouble: str | None, exported: bool) -> Phase:
    """After pivots may have been requested: waits until the three witnesses agree, and says where."""
    seen = move.observe()

    def settled(_event: Event | None) -> bool:
        nonlocal seen
        seen = move.observe()
        return seen.off or seen.where is Where.DESTINATION or (seen.where is Where.SOURCE and not _copying(seen))

    move.await_(_PROOF_WAIT, settled)
    if seen.where is Where.DESTINATION:
        move.note("proven", where=Where.DESTINATION, seen=str(seen))
        if move.plan.verify is Verify.NONE:
            return Phase.COMMITTED
        if exported:
            return Phase.VERIFYING
        move.blame("unverified", "the guest is on its destinations, but the moment to freeze them was missed")
        return Phase.HELD
    if seen.where is Where.SOURCE:
        # Mirrors that are still there are cancelled by the roll-back, which looks again before it deletes.
        move.note("proven", where=Where.SOURCE, seen=str(seen))
        raise CopyError(trouble or "the pivot was not carried out", reason="pivot-failed")
    move.blame("unclear", f"after the cutover ({trouble or 'no error was seen'}): {seen}")
    return Phase.HELD


def _copying(seen: Seen) -> bool:
    return any(disk.mirror is not None for disk in seen.disks)
