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
- A mirror that is not ready has still to copy what is dirty. When what is left fits in the pause (`Move.short`), it
  is copied while the guest stands, and no pivot is asked for before libvirt has seen it ready: then nothing is dirty.
- Nothing is believed: the pivot is proven by live XML, inactive XML and QEMU's open files (`proof`). What is
  neither proven "still on the source" nor proven "on the destination" is held, with both copies kept.
- Nothing is deleted here.

Why the guest never stands still for longer than it was promised: it is resumed in a `finally`, at the latest
when `max_pause` is over. Before a pivot is requested that means "on the source, nothing happened". After it,
QEMU can't be called back; the guest runs, and the proof tells where.

The export is begun while the guest still stands: it freezes the destination, for the reader, as it was at
this instant, and the released source can't change any more. Comparing the two proves every byte.
"""

from contextlib import suppress
from dataclasses import dataclass

from svmove.errors import CopyError, HostError, HypervisorError, SilentStorageError, SvmoveError, UnreachableError
from svmove.events import Event, EventKind
from svmove.model import Domain, DomainState
from svmove.move.context import Move
from svmove.move.flush import await_storage
from svmove.move.mirror import lost, unless_cut, unless_replaced
from svmove.move.observe import Where
from svmove.move.phases import Phase
from svmove.move.proof import settle
from svmove.move.quiet import freeze, thaw
from svmove.move.standstill import begin_export, release
from svmove.requests import Verify
from svmove.units import show_duration

# Between two looks at what is left to drain; there is no event for it. A look takes about 1 ms.
_DRAIN_LOOK = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    requested: bool  # a pivot was asked for: only now may a disk be on its destination
    trouble: str | None = None
    began: bool = True


def cut_over(move: Move) -> Phase:
    try:
        seen = move.observe()
    except SilentStorageError as error:
        if move.may_be_over:
            raise
        raise CopyError(error.text, reason="destination-hangs", remedy="mend that storage") from error
    # Somebody may have died in here. If it was us who suspended the guest, it goes on before all else.
    if release(move, seen.domain):
        seen = move.observe()
    if seen.off and not move.may_be_over:
        raise CopyError("the guest was stopped before its cutover", reason="guest-stopped")
    rest = seen.of(move.pending)
    if rest.where is Where.SOURCE and (rest.all_ready or (move.short is not None and rest.all_go_on)):
        unless_replaced(rest)
        return _switch(move, seen.domain)
    if rest.where is Where.SOURCE and rest.all_go_on and not move.may_be_over:
        return Phase.PREPARED  # what was left did not fit in the pause, and somebody died over it
    if rest.where is Where.SOURCE and not move.may_be_over:
        raise lost(move, seen)
    return settle(move, trouble="svmove was stopped in the middle of the cutover")


def _switch(move: Move, domain: Domain) -> Phase:
    policy = move.world.policy.move
    for number in range(1, policy.cutover_attempts + 1):
        await_storage(move, domain)
        move.may_go_on()  # the last chance: what comes later is held, not rolled back
        if move.opens is not None and move.short is None:  # a window that has closed meanwhile
            return Phase.PREPARED
        try:
            attempt = _quietly(move, number, suspends=domain.state is DomainState.RUNNING)
        except CopyError as error:
            raise _cause(move, error) from error
        if attempt.requested:
            return settle(move, trouble=attempt.trouble)
        if move.short is not None and attempt.began:  # one attempt: the guest goes on, and so does the copy
            move.note("did-not-fit", pause=move.max_pause)
            return Phase.PREPARED
        if number < policy.cutover_attempts:
            move.world.clock.sleep(policy.attempt_wait)
            domain = move.observe().domain
    raise CopyError(
        f"the guest would have stood still for more than {show_duration(move.max_pause)}: {attempt.trouble}",
        reason="pause-exceeded" if attempt.began else "freeze-failed",
        remedy="allow a longer pause: --max-pause, or move when the guest writes less",
    )


def _cause(move: Move, error: CopyError) -> CopyError:
    """Of what failed before a pivot was asked for, with the guest running again: why a copy is gone, if that is it."""
    try:
        seen = move.observe()
    except HostError:
        return error  # the roll-back looks again
    if seen.off:
        return CopyError("the guest was stopped before its cutover", reason="guest-stopped")
    rest = seen.of(move.pending)
    return error if rest.all_copy else lost(move, rest)


def _quietly(move: Move, number: int, *, suspends: bool) -> _Attempt:
    """With the guest's file systems frozen, if that is wanted: from before it is suspended until it goes on."""
    began = move.world.clock.monotonic()
    try:
        if suspends and (trouble := freeze(move)) is not None:
            return _Attempt(requested=False, trouble=trouble, began=False)
        return _attempt(move, number, began, suspends=suspends)
    finally:
        thaw(move, insist=True)


def _attempt(move: Move, number: int, began: float, *, suspends: bool) -> _Attempt:
    """`began`: when the guest's writes began to stand still. Raises CopyError when the cutover failed before any pivot
    was requested."""
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    terms = move.terms()
    move.intend("pivot", attempt=number, suspends=suspends)
    requested = False
    trouble: str | None = None
    deadline = began + move.max_pause
    try:
        if suspends:
            move.world.host.wake_after(uuid, deadline - clock.monotonic())
            hypervisor.suspend(uuid)
        if not _drained(move, deadline - move.world.policy.move.pivot_reserve, capped=terms.bandwidth is not None):
            trouble = "what was left to copy did not fit in"
        else:
            # The last look before there is no way back; 2 to 4 ms of the pause.
            unless_replaced(move.observe().of(move.pending))
            unless_cut(move)
            requested = True  # before the call: an error of it does not say that nothing happened
            over, trouble = _pivot(move, deadline)
            if over and move.plan.verify is not Verify.NONE:
                begin_export(move, over)
    except (UnreachableError, CopyError):
        raise
    except SvmoveError as error:
        if not requested:
            raise CopyError(f"the cutover was not begun: {error.text}", reason="cutover-failed") from error
        trouble = error.text
    finally:
        if suspends:
            _let_go_on(move)
            if not move.world.host.wake_after(uuid, None):
                trouble = _woken(move)
        # Also after an error: `wake` must know that the guest goes on.
        move.note("paused", seconds=clock.monotonic() - began if suspends else 0.0, requested=requested)
    return _Attempt(requested=requested, trouble=trouble)


def _woken(move: Move) -> str:
    """What the host did when it heard too late of us: an export that was begun after that shows later writes."""
    with suppress(HypervisorError):
        if move.world.hypervisor.exports(move.plan.uuid, move.socket):
            move.world.hypervisor.end_export(move.plan.uuid, move.socket)
    return "the host let the guest go on by itself: the connection to it was too slow"


def _let_go_on(move: Move) -> None:
    """Whatever has happened: by libvirt, and when its daemon has just died, by QEMU's own monitor."""
    try:
        move.world.hypervisor.resume(move.plan.uuid)
    except UnreachableError:
        if not _went_on_by_itself(move):
            raise
    except HypervisorError:
        if move.world.hypervisor.domain(move.plan.uuid).state is not DomainState.OFF:
            raise


def _went_on_by_itself(move: Move) -> bool:
    host = move.world.host
    try:
        process = host.process(move.plan.uuid)
        return process is not None and host.go_on(process)
    except HostError as error:
        move.say(text=error.text)
        return False


def _drained(move: Move, deadline: float, *, capped: bool) -> bool:
    """Whether nothing is dirty any more. The guest stands still, so what is clean now stays clean.

    Raises CopyError when a copy is gone: nothing would come of waiting with the guest."""
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    if capped:  # the cap is for the bulk; the rest is what the guest waits for
        for disk in move.pending:
            hypervisor.set_bandwidth(uuid, disk.target, None)
    while True:
        jobs = [hypervisor.job(uuid, disk.target) for disk in move.pending]
        if None in jobs:
            raise CopyError("a copy was lost", reason="job-vanished")
        if clock.monotonic() >= deadline:
            return False
        if all(job is not None and job.done >= job.end for job in jobs) and (
            move.short is None or move.observe().of(move.pending).all_ready
        ):
            return True
        clock.sleep(_DRAIN_LOOK)


def _pivot(move: Move, deadline: float) -> tuple[frozenset[str], str | None]:
    """Asks for all pivots, and waits for the end of each: the disks that went over, and what went wrong last.

    One that fails does not end the waiting: those that went over need their export while the guest stands.
    """
    waiting, over = set[str](), set[str]()
    to = {disk.target: disk.lands.path for disk in move.pending}
    trouble: str | None = None
    for disk in move.pending:
        try:
            move.world.hypervisor.request_pivot(move.plan.uuid, disk.target)
            waiting.add(disk.target)
        except HypervisorError as error:
            trouble = f"the pivot of {disk.target} to {disk.lands.path} was refused: {error.text}"
    left = False

    def heed(event: Event | None) -> bool:
        nonlocal trouble, left
        match event:
            case Event(kind=EventKind.COMPLETED, target=str(target)) if target in waiting:
                waiting.remove(target)
                over.add(target)
            case Event(kind=EventKind.REASON, target=str(target), text=text) if target in waiting:
                waiting.remove(target)
                trouble = f"the pivot of {target} to {to[target]} failed: {text}"
            case Event(kind=EventKind.FAILED | EventKind.CANCELED, target=str(target)) if target in waiting:
                waiting.remove(target)
                trouble = f"the pivot of {target} to {to[target]} failed"
            case Event(kind=EventKind.STOPPED):
                left, trouble = True, "the guest was stopped during the cutover"
            case Event(kind=EventKind.DISCONNECTED):
                left, trouble = True, "libvirt went away during the cutover"
            case _:
                pass
        return left or not waiting

    if not move.await_(deadline - move.world.clock.monotonic(), heed):
        trouble = trouble or "the pivot took longer than the pause that was promised"
    return frozenset(over), trouble
