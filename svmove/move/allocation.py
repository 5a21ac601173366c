"""Volumes that are to be fully allocated get their room before the cutover: while there is a way back.

Not when they are made: QEMU's mirror punches holes wherever the source reads as zeroes (seen with 7.2: a fully
allocated raw volume of 64 MiB arrived with the 8 MiB that held data), and a limited copy counts what is allocated.
"""

from svmove.errors import CopyError, HostError
from svmove.move.context import Move


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
        try:
            able = host.allocate(spec.path, length)
        except HostError as error:
            raise CopyError(
                f"{spec.path} can't be allocated in full: {error.text}",
                reason="no-space",
                remedy="free space in the destination pool, or leave --allocation full out",
            ) from error
        if able:
            move.note("allocated", disk.target)
        else:
            text = f"{spec.path} is not fully allocated: its file system can't do that ahead of the data"
            move.note("not-allocated", disk.target, text=text)
