"""The point of no return.

    suspend → drain → pivot → export → resume → prove

Why no byte can be lost here:
- The guest stands still from before the last dirty block is copied until after the pivot, so at the pivot
  both copies are equal, and neither changes.
- The intention to pivot is in the journal before the guest is suspended. Whoever comes after a crash knows
  that a disk may be on its destination, and looks (`observe`) before it does anything.
- QEMU opens the destination by its path at the pivot. So the last look, with the guest standing, is whether the
  file there is still the one that was made and written to. Of somebody who replaces it in the millisecond after
  that, the proof below tells: the move is held.
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

from svmove.errors import CopyError, HypervisorError, SvmoveError, UnreachableError
from svmove.model import Domain, DomainState, Event, EventKind
from svmove.move.context import Move
from svmove.move.mirror import unless_replaced
from svmove.move.observe import Seen, Where
from svmove.move.phases import Phase
from svmove.moves import Verify
from svmove.units import show_duration

# Between two looks at what is left to drain; there is no event for it. A look takes about 1 ms.
_DRAIN_LOOK = 0.003
# libvirt closes the old image and writes its XML after the event; under load that takes a moment.
_PROOF_WAIT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    requested: bool  # a pivot was asked for: only now may a disk be on its destination
    trouble: str | None = None


def cut_over(move: Move) -> Phase:
    seen = move.observe()
    # Somebody may have died in here. If it was us who suspended the guest, it goes on before all else.
    if wake(move, seen.domain):
        seen = move.observe()
    if seen.where is Where.SOURCE and seen.all_ready:
        unless_replaced(seen)
        return _switch(move, seen.domain.state)
    if seen.where is Where.SOURCE and move.intended("pivot") is None:
        raise CopyError(f"a copy was lost before the cutover: {seen}", reason="job-vanished")
    return _settle(move, trouble="svmove was stopped in the middle of the cutover")


def _switch(move: Move, state: DomainState) -> Phase:
    policy = move.world.policy.move
    for number in range(1, policy.cutover_attempts + 1):
        move.stop_if_cancelled()  # the last chance: what comes later is held, not rolled back
        attempt = _attempt(move, number, suspends=state is DomainState.RUNNING)
        if attempt.requested:
            return _settle(move, trouble=attempt.trouble)
        if number < policy.cutover_attempts:
            move.world.clock.sleep(policy.attempt_wait)
            state = move.observe().domain.state
    raise CopyError(
        f"the guest would have stood still for more than {show_duration(move.plan.max_pause)}: {attempt.trouble}",
        reason="pause-exceeded",
        remedy="allow a longer pause: --max-pause, or move when the guest writes less",
    )


def _attempt(move: Move, number: int, *, suspends: bool) -> _Attempt:
    """Raises CopyError when the cutover failed before any pivot was requested."""
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    move.intend("pivot", attempt=number, suspends=suspends)
    requested = False
    trouble: str | None = None
    began = clock.monotonic()
    deadline = began + move.plan.max_pause
    try:
        if suspends:
            hypervisor.suspend(uuid)
        if not _drained(move, deadline - move.world.policy.move.pivot_reserve):
            trouble = "what was left to copy did not fit in"
        else:
            # The last look before there is no way back; 2 to 4 ms of the pause.
            unless_replaced(move.observe())
            requested = True  # before the call: an error of it does not say that nothing happened
            for disk in move.plan.disks:
                hypervisor.request_pivot(uuid, disk.target)
            trouble = _await_pivots(move, deadline)
            if trouble is None and move.plan.verify is Verify.CUTOVER:
                _begin_export(move)
    except (UnreachableError, CopyError):
        raise
    except SvmoveError as error:
        if not requested:
            raise CopyError(f"the cutover was not begun: {error.text}", reason="cutover-failed") from error
        trouble = error.text
    finally:
        if suspends:
            _let_go_on(move)
        # Also after an error: `wake` must know that the guest goes on.
        move.note("paused", seconds=clock.monotonic() - began if suspends else 0.0, requested=requested)
    return _Attempt(requested=requested, trouble=trouble)


def _let_go_on(move: Move) -> None:
    try:
        move.world.hypervisor.resume(move.plan.uuid)
    except HypervisorError:
        if move.world.hypervisor.domain(move.plan.uuid).state is not DomainState.OFF:
            raise


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


def _begin_export(move: Move) -> None:
    try:
        move.world.hypervisor.begin_export(move.plan.uuid, scratch_files(move), move.socket)
    except SvmoveError as error:
        # The guest is on its destination and goes on; only the proof is lost, which `_settle` finds out.
        move.say(text=f"no export: {error.text}")


def scratch_files(move: Move) -> dict[str, str]:
    return {disk.target: f"{move.scratch}/{disk.target}.qcow2" for disk in move.plan.disks}


def wake(move: Move, domain: Domain) -> bool:
    """Resumes a guest that a dead svmove left suspended. One that a person paused stays paused."""
    last = next((e for e in reversed(move.record.entries) if e.what in ("pivot", "paused", "woken")), None)
    ours = last is not None and last.what == "pivot" and last.data["suspends"]
    if not ours or domain.state is not DomainState.PAUSED:
        return False
    move.world.hypervisor.resume(move.plan.uuid)
    move.note("woken")
    return True


def _settle(move: Move, *, trouble: str | None) -> Phase:
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
        # An export with our socket was begun in the pause, so it shows the destination as it was then.
        if move.world.hypervisor.exports(move.plan.uuid, move.socket):
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
