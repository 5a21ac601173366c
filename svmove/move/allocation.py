"""Volumes that are to be fully allocated get their room before the cutover: while there is a way back.

Not when they are made: QEMU's mirror punches holes wherever the source reads as zeroes (seen with 7.2: a fully
allocated raw volume of 64 MiB arrived with the 8 MiB that held data), and a limited copy counts what is allocated.
"""

from svmove.errors import CopyError, HostError
from svmove.move.context import Move
from svmove.units import show_size


def allocate(move: Move) -> None:
    """Idempotent. Raises CopyError when there is not enough room."""
    host = move.world.host
    for disk in move.pending:
        spec = disk.destination
        if not spec.full:
            continue
        move.intend("allocate", disk.target, path=spec.path)
        # qcow2 has its tables beside the data, in a file that may be longer than what it holds.
        length = spec.capacity if spec.format == "raw" else max(spec.capacity, host.size(spec.path))
        missing = length - host.allocated(spec.path)
        if missing > 0 and host.free(spec.path) < missing + move.world.policy.reserve(spec.pool) // 2:
            # A copy that shares its extents was planned with less, and trying would fill the pool, if for a moment.
            raise _no_room(spec.path, f"{show_size(missing)} more are needed")
        try:
            able = host.allocate(spec.path, length)
        except HostError as error:
            raise _no_room(spec.path, error.text) from error
        if able:
            move.note("allocated", disk.target)
        else:
            text = f"{spec.path} is not fully allocated: its file system can't do that ahead of the data"
            move.note("not-allocated", disk.target, text=text)


def _no_room(path: str, why: str) -> CopyError:
    return CopyError(
        f"{path} can't be allocated in full: {why}",
        reason="no-space",
        remedy="free space in the destination pool, or leave --allocation full out",
    )
