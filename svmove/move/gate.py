"""The gate before the switch: a copy may be made at any time, the guest is switched only when it is allowed.

In READY nothing weighs on the guest: the mirrors follow what it writes, and what fails here is rolled back. It is
waited by events and a look twice a second, so `svmove cancel`, a deadline, and `svmove set --cutover now` are heeded at
once. A window that closes between here and the guest's suspend leads back to here (`cutover`, `offline`).
"""

from collections.abc import Callable

from svmove.errors import SilentStorageError
from svmove.events import Event
from svmove.move import limits, mirror, room
from svmove.move.context import Move
from svmove.move.phases import Phase
from svmove.move.verify import ready_to_verify
from svmove.windows import Moment

# Between two looks, in seconds; one costs 1 ms a disk.
_LOOK = 0.5
# A lost event must not hang a move.
_LOOK_AGAIN = 5.0
_LONG = 3600.0
# A mirror that was held back has caught up when what is left does not become a fifth less in the policy's evidence.
_NEARER = 0.8


def ready(move: Move) -> Phase:
    """Of mirrors. One that is not ready, and whose rest fits in the pause, got here when it was allowed."""
    if move.opens is not None and move.short is None:
        with mirror.explained(move):
            wait(move, _Following(move).look)
            if move.terms().bandwidth is not None:
                _catch_up(move)
    return ready_to_verify(move)


def wait(move: Move, look: Callable[[Event | None], None]) -> None:
    """Until the switch is allowed. `look` is handed each event, and None now and then; what it raises ends the wait."""
    told: Moment | None = None

    def opened(event: Event | None) -> bool:
        nonlocal told
        move.may_go_on()
        look(event)
        opens = move.opens
        if opens is not None and opens != told:
            told = opens
            move.note("waits", at=opens.at, zone=opens.zone)
            move.say(text=f"ready; the cutover window opens at {opens.show(move.world.clock.now())}")
        return opens is None

    while not move.await_(_LONG, opened, tick=_LOOK):
        pass


class _Following:
    """The mirrors, as they follow the guest."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self._observed = float("-inf")
        self._cap: int | None = None
        self._given = False

    def look(self, event: Event | None) -> None:
        """Raises CopyError when one of them has failed."""
        move = self._move
        if event is not None:
            mirror.heed(move, event, set())
            return
        mirror.unless_cut(move)
        room.enough(move)
        cap = move.terms().bandwidth
        if not self._given or cap != self._cap:
            limits.give(move, cap)
            self._given, self._cap = True, cap
        _report(move)
        if move.world.clock.monotonic() - self._observed >= _LOOK_AGAIN:
            self._observed = move.world.clock.monotonic()
            try:
                seen = move.observe().of(move.pending)
            except SilentStorageError:
                return  # nothing is lost by waiting for it here
            if seen.off:
                raise mirror.stopped()
            if not seen.all_go_on:
                raise mirror.lost(move, seen)
            mirror.unless_replaced(seen)


def _report(move: Move) -> int:
    """Bytes that are left."""
    left = 0
    for disk in move.pending:
        job = move.world.hypervisor.job(move.plan.uuid, disk.target)
        if job is not None and job.remaining is not None:
            left += job.remaining
            move.say(disk.target, job.done, job.end, "ready", converges=True)
    return left


def _catch_up(move: Move) -> None:
    """The limit is for the bulk. A guest that writes more than that has left a rest, which must not be its pause."""
    clock, evidence = move.world.clock, move.world.policy.converge.evidence
    limits.give(move, None)
    least, since = float("inf"), clock.monotonic()

    def caught_up(event: Event | None) -> bool:
        nonlocal least, since
        move.may_go_on()
        if event is not None:
            mirror.heed(move, event, set())
            return False
        left = _report(move)
        if left < least * _NEARER:
            least, since = left, clock.monotonic()
        return left == 0 or clock.monotonic() - since >= evidence

    while not move.await_(_LONG, caught_up):
        pass
