"""What is proposed of a fleet: moves, in rounds, and what can't move."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from svmove.fleet import Stay
from svmove.moves import Level
from svmove.outcomes import Outcome


class Why(StrEnum):
    EVACUATE = "evacuate"
    RULE = "rule"  # an affinity rule is broken as it is
    SPACE = "space"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One disk to one pool. What is in the same round may go at the same time; a round begins when the one before it
    has ended, and its sources are gone. The disks of one guest in one round are one move."""

    guest: str
    uuid: str
    target: str
    pool_from: str
    pool_to: str
    copy_bytes: int
    seconds: float  # of the copy, at the rate of earlier moves
    load: float  # the disk's requests under way, on average: who would feel the move
    round: int  # from 1
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmovable:
    """What stays, and why."""

    pool: str
    volume: str
    allocation: int
    stay: Stay
    guest: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOutlook:
    """A pool before and after."""

    pool: str
    fill: float  # of its place: 0 to 1, more when it is promised more than it has
    fill_after: float
    latency: float | None = None
    latency_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuation:
    pool: str
    to: tuple[str, ...]
    stays: tuple[Unmovable, ...]  # the largest first
    moves: tuple[Proposal, ...]  # in their order
    pools: tuple[PoolOutlook, ...]
    seconds: float  # of all copies, so many guests at once as was asked for
    emptying: bool = False  # the pool is marked already, and takes nothing new

    @property
    def copy_bytes(self) -> int:
        return sum(move.copy_bytes for move in self.moves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Disks that one reason moves together, with what that costs and brings."""

    why: Why
    text: str
    moves: tuple[Proposal, ...]
    source: PoolOutlook
    destination: PoolOutlook

    @property
    def copy_bytes(self) -> int:
        return sum(move.copy_bytes for move in self.moves)

    @property
    def seconds(self) -> float:
        return sum(move.seconds for move in self.moves)

    @property
    def load(self) -> float:
        return sum(move.load for move in self.moves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    recommendations: tuple[Recommendation, ...]
    pools: tuple[PoolOutlook, ...]  # before, and after all of them
    # Pools that would have been relieved, with why nothing was found for them.
    unrelieved: Mapping[str, str]

    @property
    def moves(self) -> tuple[Proposal, ...]:
        found = [move for one in self.recommendations for move in one.moves]
        return tuple(sorted(found, key=lambda move: move.round))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """What is asked of the place of a volume that is to be made."""

    thin: bool = True  # it takes what is written to it
    guest: str | None = None  # whose rules count
    files_only: bool = False  # of a format that needs a file


ANY_VOLUME = NewVolume()


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where new volumes are to be made."""

    pools: tuple[str | None, ...]  # one a volume; None: it has no place
    refused: Mapping[str, str]  # pools that were not taken: why
    outlook: tuple[PoolOutlook, ...]


P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Generic[P]):
    plan: P  # as it is in the end: what stays, and what was not moved
    moved: tuple[Outcome, ...]
    failed: tuple[Outcome, ...]  # refused, rolled back, held
    interrupted: bool = False


def reason(outcome: Outcome) -> str:
    """Why it failed, in a line; "" when it did not."""
    if outcome.error is not None:
        return f"{outcome.error.code}: {outcome.error.text}"
    refused = (finding for finding in outcome.findings if finding.level is Level.REFUSE)
    return "; ".join(f"{finding.code}: {finding.text}" for finding in refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What a person agreed to of a balance, as far as it is still to be gained: what has changed since is left out."""

    balance: Balance
    moves: tuple[Proposal, ...]


def agreed(balance: Balance, wanted: frozenset[tuple[str, str, str]]) -> Agreed:
    """`wanted`: UUID, target and pool of each."""
    moves = tuple(move for move in balance.moves if (move.uuid, move.target, move.pool_to) in wanted)
    return Agreed(balance=balance, moves=moves)
