"""The loop: observe → act → journal → next phase. A resumed move runs through the same loop."""

from contextlib import suppress

from svmove.errors import CopyError, InterruptedMoveError, JournalError, SvmoveError, UnreachableError
from svmove.journal import Journal, Record
from svmove.move import cleanup, retried, slots, throttle
from svmove.move.context import Move, World, listening
from svmove.move.methods import steps
from svmove.move.phases import BEFORE_CUTOVER, RESTING, Phase
from svmove.move.quiet import frozen_since, thaw
from svmove.moves import Plan
from svmove.requests import Method

# A daemon that answers and goes away again each time is not worth a hundred tries.
_RECONNECTS = 10

# Where a guest would suffer if this process died.
_GUARDED = frozenset({Phase.CUTOVER, Phase.VERIFYING})


def begin(journal: Journal, plan: Plan, uri: str) -> Record:
    """Raises RefusedError when another move owns the domain."""
    return journal.begin(plan, uri, Phase.PLANNED)


class Walk:
    """A process's walk with a move; `record` is the newest that is known, also after an error."""

    def __init__(self, world: World, record: Record) -> None:
        self._world = world
        self.record = record
        self._lost: list[str] = []

    def run(self) -> None:
        """From the phase that the move is in to where it rests.

        Raises:
            UnreachableError: libvirt is gone for longer than the policy waits. The move is resumable.
            JournalError: what happens can't be recorded, so nothing more is done. The move is resumable.
        """
        lost = 0
        try:
            while self.record.phase not in RESTING:
                try:
                    with listening(self._world, self.record.plan.uuid) as events:
                        self._walk(Move(self._world, self.record, events))
                except UnreachableError as error:
                    lost += 1
                    if lost > _RECONNECTS:
                        raise
                    self._lost.append(error.text)
                    self._world.hypervisor.reconnect()
        finally:
            # Where that fails, the slot is free when this process does not work on the move any more.
            with suppress(JournalError):
                self._world.journal.slots.leave(self.record.plan.move)

    def _walk(self, move: Move) -> None:
        try:
            while move.phase not in RESTING:
                self._tell_retries(move)
                move.say()
                suffers = move.phase in _GUARDED and move.plan.method is not Method.OFFLINE
                suffers = suffers or bool(throttle.in_force(move.record)) or frozen_since(move.record) is not None
                move.world.guard(move.plan.move if suffers else None)
                try:
                    thaw(move)  # what an svmove that died has frozen; in the cutover the guest goes on first
                    slots.hold(move)
                    following = steps(move.plan)[move.phase](move)
                except (UnreachableError, JournalError):
                    raise
                except SvmoveError as error:
                    following = _after(error, move)
                if following is Phase.HELD:
                    cleanup.hold(move)
                move.enter(following)
            self._tell_retries(move)
            left = move.phase is Phase.HELD and move.noted("export-left") is not None
            move.world.guard(move.plan.move if left else None)
        finally:
            move.unlock()
            self.record = move.record

    def _tell_retries(self, move: Move) -> None:
        """Between two steps: in their midst a guest may stand still, and a note in the journal waits for the disk."""
        while self._lost:
            move.note("reconnected", error=self._lost.pop(0))
        retried.tell(move, move.world.hypervisor.retried())


def _after(error: SvmoveError, move: Move) -> Phase:
    """Where a failure leads. Only what happened before the cutover, or is proven undone, is rolled back."""
    code = error.reason if isinstance(error, CopyError) else error.code
    move.blame(code, error.text, error.remedy)
    # In the cutover these two are raised only where the source is proven.
    undone = move.phase is Phase.CUTOVER and isinstance(error, CopyError | InterruptedMoveError)
    if move.phase in BEFORE_CUTOVER or undone:
        return Phase.HELD if move.over else Phase.ROLLING_BACK  # some disks are over: no way back without a person
    unmerged = any(disk.overlay is not None and not move.noted("merged", disk.target) for disk in move.plan.disks)
    if move.phase is Phase.COMMITTED and not unmerged:
        cleanup.leave(move, error)
        return Phase.DONE  # a leftover; the guest is where it should be
    return Phase.HELD
