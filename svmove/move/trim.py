"""Before anything is copied: the guest discards what it does not use (`--trim`), so that nobody copies it.

It is worth a try and no more: without it the copy is only longer.
"""

from svmove.errors import HypervisorError
from svmove.model import Agent
from svmove.move.context import Move

# Between two looks whether somebody wants to stop; a trim itself can't be called off.
_LOOK = 5.0


def trim(move: Move) -> None:
    """Raises InterruptedMoveError, CopyError where `Move.may_go_on` does."""
    if not move.plan.trim or move.noted("trim-done"):
        return
    host, disks = move.world.host, move.plan.disks
    if (begun := move.intended("trim")) is None:  # else an svmove that died has the figures before
        begun = move.intend("trim", before={disk.target: host.allocated(disk.source) for disk in disks})
    move.say(text="the guest trims its file systems")
    trouble = _trimmed(move)
    for disk in disks:
        freed = begun.data["before"][disk.target] - host.allocated(disk.source)
        move.note("trimmed", disk.target, bytes=max(freed, 0))  # the guest may have written meanwhile
    move.note("trim-done", trouble=trouble)


def _trimmed(move: Move) -> str | None:
    """What went wrong. An agent does one thing after the other: one that answers again is through with its trim."""
    hypervisor, clock, uuid = move.world.hypervisor, move.world.clock, move.plan.uuid
    deadline = clock.monotonic() + move.world.policy.agent.trim
    try:
        hypervisor.trim(uuid, _LOOK)
    except HypervisorError as error:
        if hypervisor.agent(uuid, _LOOK) is Agent.ANSWERS:
            return error.text
    else:
        return None
    while clock.monotonic() < deadline:
        move.may_go_on()
        if hypervisor.agent(uuid, _LOOK) is Agent.ANSWERS:
            return None
        clock.sleep(0.1)
    return "its agent was not through with it in time"
