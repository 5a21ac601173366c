"""The guest's file systems, frozen around the cutover (`--freeze`), and thawed whoever dies.

    intend → freeze → [the cutover: suspend … resume] → thaw

The intention is in the journal before the freeze, so whoever comes after a crash knows that the guest's writes may
stand still, and thaws before all else: this process in a `finally`, the guard, a resumed move, and a held one. An
agent answers only while its guest runs, so a suspended guest goes on first. Without libvirt nobody reaches the agent:
then it is thawed when libvirt is back.

A freeze counts into the pause that was promised: the deadline begins with it.
"""

from svmove.errors import HypervisorError
from svmove.journal import Record
from svmove.model import DomainState
from svmove.move.context import Move

# Of one call; an agent that runs thaws within 5 to 15 ms under TCG.
_THAW = 5.0
_AGAIN = 0.2


def freeze(move: Move) -> str | None:
    """What spoke against it, in words; None when it is done, or not wanted. `thaw` must follow in any case."""
    if not move.plan.freeze:
        return None
    move.intend("freeze")
    # libvirt counts whole seconds. An agent that is slower than that leaves no time for the rest.
    seconds = max(int(move.max_pause - move.world.policy.move.pivot_reserve), 1)
    move.world.journal.database.hurry()  # what is written until it is thawed must not wait for a lost server
    try:
        move.world.hypervisor.freeze(move.plan.uuid, seconds)
    except HypervisorError as error:
        return f"the guest's agent did not freeze its file systems: {error.text}"
    return None


def thaw(move: Move, *, insist: bool = False) -> bool:
    """Whether the guest can write, as far as we are concerned. Does nothing when the journal knows of no freeze.

    `insist` tries for as long as the policy says, and not once.
    """
    if (since := frozen_since(move.record)) is None:
        return True
    clock = move.world.clock
    deadline = clock.monotonic() + (move.world.policy.agent.thaw if insist else 0.0)
    move.world.journal.database.hurry(on=False)
    while True:
        try:
            move.world.hypervisor.thaw(move.plan.uuid, _THAW)
            break
        except HypervisorError as error:
            seen = move.observe()
            if seen.off:  # nothing is frozen in a guest that is off
                break
            if seen.domain.state is not DomainState.RUNNING or clock.monotonic() >= deadline:
                return False
            move.say(text=f"the guest's file systems are still frozen: {error.text}")
            clock.sleep(_AGAIN)
    move.note("thawed", seconds=max(clock.now() - since, 0.0))
    return True


def frozen_since(record: Record) -> float | None:
    """As far as the journal knows (Unix time)."""
    last = next((entry for entry in reversed(record.entries) if entry.what in ("freeze", "thawed")), None)
    return last.at if last is not None and last.what == "freeze" else None
