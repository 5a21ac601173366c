"""A move waits for its slots, and has its share of what its pools give, as long as it has them.

It waits before anything is made, so that it holds nothing. One that was copying already when its svmove died doesn't
wait when it is resumed: QEMU copies on whatever we do, and must be looked after.
"""

import random
from collections.abc import Set as AbstractSet

from svmove import addresses, location
from svmove.budgets import Budgets, Place, PlaceKind, Waits, written
from svmove.errors import CopyError
from svmove.journal import Journal, Kind, Record
from svmove.move.context import Move
from svmove.move.filled import unless_filled
from svmove.move.phases import Phase
from svmove.ports import Cancel

# Nobody tells a server of a process that dies: the first in a queue looks for himself.
_FIRST_LOOKS = 5.0
# Only in case that a call was lost. A look takes 10 ms where 200 wait.
_LOOKS = 600.0
# What is under way without svmove, or has been begun and not proven to have ended.
_BEGUN = ("copy", "copy-layer", "lay-over", "allocate")
# Pools of these types are on the network, though their volumes have paths of this host.
_NETWORK = frozenset({"netfs", "iscsi", "gluster", "vstorage"})
# Not the cutover: its guest may stand still, and is to go on before anything else.
_AT_WORK = frozenset({Phase.COPYING, Phase.READY, Phase.VERIFYING, Phase.COMMITTED})


def hold(move: Move) -> None:
    """The slots that the move's phase needs; waits for them as long as nothing was begun. Idempotent.

    Raises:
        InterruptedMoveError: somebody asked to stop meanwhile.
        CopyError: its deadline is over; or it is not to wait, and no slot is free; or others have filled its pools.
        JournalError; UnreachableError, HypervisorError where nothing was begun.
    """
    slots, name = move.world.journal.slots, move.plan.move
    if slots.holds(name) or move.phase not in {Phase.PLANNED, Phase.ADMITTED, Phase.PREPARED, *_AT_WORK}:
        return
    budgets, now = move.world.policy.budgets, move.world.clock.now()
    if _begun(move.record):
        # libvirt is not asked now. Of a move that an older svmove began it is not known what its pools are.
        slots.seize(name, move.plan.priority, move.places or places(move, budgets, frozenset()), budgets, now)
        return
    pools = move.world.hypervisor.pools()
    wanted = places(move, budgets, {pool.name for pool in pools if pool.network or pool.type in _NETWORK})
    asked = (name, move.plan.priority, wanted, budgets, now)
    if (waits := slots.ask(*asked)) is None:
        _note(move, wanted, 0.0)
        return
    if not move.plan.wait:
        raise CopyError(
            f"no slot is free: it would wait for one of {waits.place}, as number {waits.position}",
            reason="no-slot",
            remedy="move without --no-wait, or later; svmove tasks shows what runs",
        )
    move.note("waits", place=str(waits.place), position=waits.position)
    while waits is not None:
        move.say(text=str(waits))
        move.may_go_on()
        terms = move.terms()
        left = None if terms.deadline is None else move.plan.created + terms.deadline - move.world.clock.now()
        await_call(move.world.journal, name, waits, left, move.world.cancel)
        move.may_go_on()
        waits = slots.ask(*asked)
    _note(move, wanted, max(move.world.clock.now() - now, 0.0))
    unless_filled(move)


def _note(move: Move, wanted: tuple[Place, ...], seconds: float) -> None:
    if move.places != wanted or seconds:
        move.note("slot", places=written(wanted), seconds=seconds)


def _begun(record: Record) -> bool:
    return record.phase in _AT_WORK or any(record.all(Kind.INTENT, what) for what in _BEGUN)


def await_call(journal: Journal, move: str, waits: Waits, left: float | None, cancel: Cancel) -> None:
    """Returns when it is worth while to look again, at the latest when the seconds that are `left` are over. Raises
    JournalError."""
    database = journal.database
    seconds = _FIRST_LOOKS if waits.first and not database.sees_deaths else _LOOKS
    seconds *= random.uniform(0.75, 1.25)  # noqa: S311 (two hundred must not look at the same instant)
    if left is not None:
        seconds = min(seconds, max(left, 0.0) + 0.01)
    watch = journal.slots.processes(waits.watch) if database.sees_deaths else frozenset()
    database.await_call(move, seconds, watch, cancel)


def places(move: Move, budgets: Budgets, network: AbstractSet[str]) -> tuple[Place, ...]:
    """The host, and each pool that the move reads from or writes to. `network`: the pools that are on it."""
    plan, host = move.plan, addresses.host(move.world.hypervisor.uri) or move.world.journal.host
    parts = [*plan.disks, *plan.media]
    names = {part.destination.pool for part in parts} | {part.pool_from for part in parts if part.pool_from}
    pools = {budgets.pool(name, host, network=name in network or location.is_network(name)) for name in names}
    return (Place(kind=PlaceKind.HOST, name=host), *sorted(pools, key=lambda place: place.name))
