"""What of a move's bandwidth each mirror has. It changes on the way: by windows, by `svmove set`, and with the number
of moves that share a pool's."""

from svmove.move.context import Move
from svmove.plan.estimate import shares
from svmove.volumes import DiskPlan


def vary(move: Move) -> bool:
    """Whether it may have been another one than planned: a dead svmove may have left any limit, and how fast all was
    copied says nothing of the pools."""
    asked = "bandwidth" in move.world.journal.requests.changes(move.plan.move)
    return asked or bool(move.plan.windows.bandwidth) or move.share is not None


def share(move: Move, disk: DiskPlan) -> int | None:
    """Bytes per second, by the terms as they are now."""
    cap = move.terms().bandwidth
    return disk.bandwidth if cap == move.plan.bandwidth else _shared(move, cap)[disk.target]


def give(move: Move, cap: int | None) -> None:
    """To all mirrors, as a limit that counts holes too. None: no limit."""
    for target, limit in _shared(move, cap).items():
        move.world.hypervisor.set_bandwidth(move.plan.uuid, target, limit)


def _shared(move: Move, cap: int | None) -> dict[str, int | None]:
    pending = move.pending
    return dict(zip((d.target for d in pending), shares(cap, [d.copy_bytes for d in pending]), strict=True))
