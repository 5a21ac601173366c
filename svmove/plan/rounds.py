"""The order of moves that need each other's room: in rounds."""

from collections.abc import Iterable, Mapping, Sequence

from svmove.plan import estimate
from svmove.plan.ledger import Bundle, Ledger
from svmove.proposals import Proposal, Why

Step = tuple[Bundle, str, Why]  # what, to which pool


def in_rounds(steps: Sequence[Step], ledger: Ledger) -> list[list[Step]]:
    """In the order of `steps`; a round takes as many of the next ones as fit while all of it is under way, since a
    source keeps its room until its move is done. `steps` one after the other must fit.

    Invariant: at every instant, whatever ends first within a round, nothing is fuller than the ledger allows.
    """
    now, rounds, current = ledger.copy(), list[list[Step]](), list[Step]()
    for what, pool, why in steps:
        if not now.fits(what, pool):
            for done, _, _ in current:
                now.leave(done)
            rounds.append(current)
            current = []
            assert now.fits(what, pool), f"{what.disks[0]} does not fit in {pool}"
        now.put(what, pool)
        current.append((what, pool, why))
    return [*rounds, current] if current else rounds


def proposals(rounds: Sequence[Sequence[Step]], rates: Mapping[tuple[str, str], float]) -> tuple[Proposal, ...]:
    """In a round the guest that takes longest comes first: it would be waited for in the end."""
    found = []
    for number, steps in enumerate(rounds, start=1):
        moves = [
            Proposal(
                guest=disk.guest,
                uuid=disk.uuid,
                target=disk.target,
                pool_from=disk.pool,
                pool_to=pool,
                copy_bytes=disk.allocation,
                seconds=estimate.seconds(disk.allocation, None, rates.get((disk.pool, pool))),
                load=disk.load,
                round=number,
                why=why,
            )
            for what, pool, why in steps
            for disk in what.disks
        ]
        whole = _by_guest(moves)
        found += sorted(moves, key=lambda move: (-whole[move.uuid], move.guest, move.target))
    return tuple(found)


def _by_guest(moves: Iterable[Proposal]) -> dict[str, float]:
    found: dict[str, float] = {}
    for move in moves:
        found[move.uuid] = found.get(move.uuid, 0.0) + move.seconds
    return found
