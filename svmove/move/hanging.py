"""The export of a verification whose storage hangs, and with it the guest's disk.

To end an export QEMU waits for the reads that are under way. Until they end its main loop stands: all of the guest
does, whatever storage its other disks have, and libvirt's call does not return. So the export is left as it is until
the storage answers; the guard ends it then, or whoever takes the move out of HELD.
"""

from collections.abc import Sequence

from svmove.errors import HypervisorError, RefusedError
from svmove.move.context import Move

# For a read that shows whether a storage answers.
_ASK = 5.0


def silent(move: Move, paths: Sequence[str], seconds: float = _ASK) -> dict[str, str]:
    """Which of these storages do not answer, and what they say."""
    found = {}
    for path in dict.fromkeys(paths):
        try:
            trouble = move.world.host.trouble(path, seconds)
        except HypervisorError as error:  # its secret
            trouble = error.text
        if trouble is not None:
            found[path] = trouble
    return found


def in_the_way(move: Move, seconds: float = _ASK) -> str | None:
    """Why the export can't be ended now; None: it can, or there is none."""
    told = move.noted("storage-hangs")
    if told is None or not move.world.hypervisor.exports(move.plan.uuid, move.socket):
        return None
    found = silent(move, told.data["paths"], seconds)
    return "; ".join(f"the storage of {path} does not answer ({trouble})" for path, trouble in found.items()) or None


def unless_in_the_way(move: Move) -> None:
    """Before anything that ends the export. Raises RefusedError."""
    if (why := in_the_way(move)) is not None:
        raise RefusedError(f"nothing can be done with move {move.plan.move} now: {why}", remedy="mend it, then again")


def end_left(move: Move) -> None:
    """The export that a hold has left, when the storage answers again. Idempotent."""
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid
    if move.noted("export-left"):
        hypervisor.end_export(uuid, move.socket)
        move.world.host.remove_scratch(move.scratch)
        if hypervisor.domain(uuid).io_error:  # its scratch file could not grow
            hypervisor.resume(uuid)
