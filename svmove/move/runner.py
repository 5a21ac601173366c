"""The loop: observe → act → journal → next phase. A resumed move runs through the same loop."""

from collections.abc import Callable

from svmove.errors import CopyError, InterruptedMoveError, JournalError, RefusedError, SvmoveError, UnreachableError
from svmove.journal import Journal, Record
from svmove.move import cleanup, cutover, mirror, verify
from svmove.move.context import Move, World
from svmove.move.observe import Where
from svmove.move.phases import BEFORE_CUTOVER, RESTING, Phase
from svmove.moves import Plan

# A daemon that answers and goes away again each time is not worth a hundred tries.
_RECONNECTS = 10

Step = Callable[[Move], Phase]

STEPS: dict[Phase, Step] = {
    Phase.PLANNED: mirror.admit,
    Phase.ADMITTED: mirror.prepare,
    Phase.PREPARED: mirror.start,
    Phase.COPYING: mirror.copy,
    Phase.READY: verify.ready_to_verify,
    Phase.CUTOVER: cutover.cut_over,
    Phase.VERIFYING: verify.verify,
    Phase.COMMITTED: cleanup.commit,
    Phase.ROLLING_BACK: cleanup.roll_back,
}


def begin(journal: Journal, plan: Plan, uri: str) -> Record:
    """Raises RefusedError when another move owns the domain."""
    return journal.begin(plan, uri, Phase.PLANNED)


def accept(world: World, record: Record) -> Record:
    """Leaves HELD in the direction that the guest is in: forward where it is on its destinations, back where
    it is on its sources. To be followed by a `Walk`.

    Raises:
        RefusedError: the move is not held, or it can't be told where the guest is.
        UnreachableError: libvirt is gone.
    """
    with world.hypervisor.events(record.plan.uuid) as events:
        held = Move(world, record, events)
        if held.phase is not Phase.HELD:
            raise RefusedError(f"move {record.plan.move} is not held, it is {held.phase}")
        seen = held.observe()
        if seen.where is Where.DESTINATION:
            held.note("accepted", seen=str(seen))
            held.enter(Phase.COMMITTED)
        elif seen.where is Where.SOURCE or seen.off_on_source:
            held.note("accepted", seen=str(seen))
            held.enter(Phase.ROLLING_BACK)
        else:
            raise RefusedError(f"it can't be told where the guest is: {seen}", remedy="docs/held.md says how to look")
        return held.record


class Walk:
    """A process's walk with a move; `record` is the newest that is known, also after an error."""

    def __init__(self, world: World, record: Record) -> None:
        self._world = world
        self.record = record

    def run(self) -> None:
        """From the phase that the move is in to where it rests.

        Raises:
            UnreachableError: libvirt is gone for longer than the policy waits. The move is resumable.
            JournalError: what happens can't be recorded, so nothing more is done. The move is resumable.
        """
        lost = 0
        while self.record.phase not in RESTING:
            try:
                with self._world.hypervisor.events(self.record.plan.uuid) as events:
                    self._walk(Move(self._world, self.record, events))
            except UnreachableError:
                lost += 1
                if lost > _RECONNECTS:
                    raise
                self._world.hypervisor.reconnect()

    def _walk(self, move: Move) -> None:
        try:
            while move.phase not in RESTING:
                move.say()
                try:
                    following = STEPS[move.phase](move)
                except (UnreachableError, JournalError):
                    raise
                except SvmoveError as error:
                    following = _after(error, move)
                if following is Phase.HELD:
                    cleanup.hold(move)
                move.enter(following)
        finally:
            self.record = move.record


def _after(error: SvmoveError, move: Move) -> Phase:
    """Where a failure leads. Only what happened before the cutover, or is proven undone, is rolled back."""
    code = error.reason if isinstance(error, CopyError) else error.code
    move.blame(code, error.text, error.remedy)
    if move.phase in BEFORE_CUTOVER:
        return Phase.ROLLING_BACK
    if move.phase is Phase.CUTOVER and isinstance(error, CopyError | InterruptedMoveError):
        return Phase.ROLLING_BACK  # these two are raised only where the source is proven
    if move.phase is Phase.COMMITTED:
        cleanup.leave(move, error)
        return Phase.DONE  # a leftover; the guest is where it should be
    return Phase.HELD
