"""Room for what the guest writes into its overlays while its files are copied (method `snapshot`).

When an overlay can't grow, QEMU pauses the GUEST. So the free space is watched, and the move gives way long before:
with as much left as the way back takes, since what is in the overlays is written once more when they are merged.
"""

from svmove.errors import CopyError
from svmove.events import Event, EventKind
from svmove.move.context import Move
from svmove.units import show_size


def enough(move: Move) -> None:
    """Raises CopyError. Looks at the file systems only: 0.1 ms for each pool."""
    host = move.world.host
    overlays = [disk.overlay.source for disk in move.pending if disk.overlay is not None]
    for pool in {spec.pool for spec in overlays}:
        paths = [spec.path for spec in overlays if spec.pool == pool]
        reserve = move.world.policy.reserve(pool)
        taken, free = sum(host.allocated(path) for path in paths), host.free(paths[0])
        if free < taken + reserve:
            raise CopyError(
                f"pool {pool} has {show_size(free)} left, and the guest has written {show_size(taken)} while its "
                f"disks were copied; the way back takes as much again, and {show_size(reserve)} are the reserve",
                reason="no-overlay-space",
                remedy="free some, use another method: --method mirror, or move when the guest writes less",
            )


def heed(move: Move, event: Event) -> None:
    """Raises CopyError when the guest was paused because it could not write: perhaps into an overlay of ours."""
    if event.kind is EventKind.IO_ERROR and any(disk.overlay is not None for disk in move.pending):
        raise CopyError("the guest met an I/O error while its disks were copied", reason="guest-io-error")
