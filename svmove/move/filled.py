"""Room in the pools, looked at once more when a move has waited for its turn: others have written meanwhile."""

from contextlib import suppress

from svmove.errors import CopyError, HypervisorError
from svmove.move.context import Move
from svmove.plan import room


def unless_filled(move: Move) -> None:
    """Raises CopyError when the pools have no longer what the plan needs; UnreachableError, HypervisorError."""
    hypervisor = move.world.hypervisor
    for name in {name for need in move.plan.needs for name in need.pools}:
        with suppress(HypervisorError):  # an inactive one tells so below
            hypervisor.refresh_pool(name)
    known = {pool.name: pool for pool in hypervisor.pools()}
    for need in move.plan.needs:
        there = [known[name] for name in need.pools if name in known]
        if len(there) < len(need.pools) or not all(pool.active for pool in there):
            text = f"pool {' and '.join(need.pools)} is not there, or not active, any more"
            raise CopyError(text, reason="changed", remedy="plan again")
        if (lack := room.lacking(need, there, move.world.policy)) is not None:
            raise CopyError(
                f"others have filled it while this move waited: {lack}",
                reason="no-space",
                remedy="free some, or choose another pool",
            )
