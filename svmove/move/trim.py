"""Before anything is copied: the guest discards what it does not use (`--trim`), so that nobody copies it.

It is worth a try and no more: without it the copy is only longer.
"""

from svmove.errors import HypervisorError
from svmove.move.context import Move


def trim(move: Move) -> None:
    if not move.plan.trim or any(move.noted(what) for what in ("trim-done", "trim-failed")):
        return
    host, disks = move.world.host, move.plan.disks
    if (begun := move.intended("trim")) is None:  # of an svmove that died, the figures before
        begun = move.intend("trim", before={disk.target: host.allocated(disk.source) for disk in disks})
    move.say(text="the guest trims its file systems")
    try:
        move.world.hypervisor.trim(move.plan.uuid, move.world.policy.agent.trim)
    except HypervisorError as error:
        move.note("trim-failed", text=error.text)
        return
    for disk in disks:
        freed = begun.data["before"][disk.target] - host.allocated(disk.source)
        move.note("trimmed", disk.target, bytes=max(freed, 0))  # the guest may have written meanwhile
    move.note("trim-done")
