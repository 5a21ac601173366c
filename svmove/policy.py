"""The policy: every limit, reserve and default that a person may want to change, with its reason.

Units: bytes, bytes per second, seconds. In a policy file they are written as people write them
(``max_pause = "500ms"``); `svmove.layers` reads it, tells what is wrong with it and makes its schema, all from the
dataclasses here: tables of tables, tuples, mappings, words, numbers, and what has a unit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from svmove.affinity import AffinityPolicy
from svmove.budgets import Budgets, PoolPolicy, SlotsPolicy
from svmove.objections import Objection
from svmove.retries import RetryPolicy
from svmove.units import KiB, MiB, write_duration
from svmove.windows import ANY_TIME, Windows


def _unit(default: Any, unit: str) -> Any:
    """`unit`: of `svmove.layers.kinds`."""
    return field(default=default, metadata={"unit": unit})


def _count(default: int, least: int = 1) -> Any:
    return field(default=default, metadata={"least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class MovePolicy:
    # The longest time that the guest may stand still. VMware's own limit is 100 s; a guest's disk timeout is
    # 30 s; applications begin to notice at a second or two.
    max_pause: float = _unit(2.0, "duration")
    # What a pivot and the start of the export need once the guest stands still: 26 to 90 ms measured under
    # TCG on 2 cores. The rest of max_pause is there to drain what is still dirty.
    pivot_reserve: float = _unit(0.25, "duration")
    # A drain that did not fit may fit a moment later. More attempts would be more pauses for the guest.
    cutover_attempts: int = _count(3)
    attempt_wait: float = _unit(1.0, "duration")
    # A destination that hangs at the cutover would hang the guest, so it must answer to a read and a flush first:
    # in a quarter of max_pause, for as long as this it is asked again.
    answer_wait: float = _unit(120.0, "duration")
    # A copy that is cancelled ends when the writes under way have: 40 s at 1.5 s a write. A storage that hangs may
    # take for ever; after this time the move is held.
    cancel_wait: float = _unit(120.0, "duration")
    # Whole-move limit of the copy; None: as fast as it goes.
    bandwidth: int | None = _unit(None, "rate")
    # From the start to the cutover; a guest that writes faster than the copy is never ready. None: no limit.
    deadline: float | None = _unit(None, "duration")

    def objections(self) -> Iterator[Objection]:
        if self.pivot_reserve >= self.max_pause:
            yield Objection(
                keys=("pivot_reserve", "max_pause"),
                text=f"leaves nothing of max_pause: {write_duration(self.pivot_reserve)} of "
                f"{write_duration(self.max_pause)}",
                remedy='allow a longer max_pause, or reserve less: a pivot takes 26 to 190 ms ("250ms")',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPolicy:
    # None: chosen from how the guest writes (`plan.granularity`): QEMU's own, or finer. 1 MiB copied 15 % faster here,
    # but filled holes: a thin image of 584 MiB arrived with 704 MiB.
    granularity: int | None = _unit(None, "size")
    # For how long the guest's writes are looked at before the start, if it writes so much that it matters.
    sample: float = _unit(1.0, "duration")
    # QEMU's own. So much is in flight, and can't be called back. When a destination came down to 400 KiB/s in mid-copy,
    # a guest with io='native' waited 31 s with 64 MiB, 7 s with 16. 4 MiB would cost 20 % of the copy's speed.
    buffer: int = _unit(16 * MiB, "size")

    def objections(self) -> Iterator[Objection]:
        size = self.granularity
        if size is not None and (size & (size - 1) or not 512 <= size <= 64 * MiB):
            yield Objection(
                keys=("granularity",),
                text="QEMU takes powers of two, from 512 bytes to 64 MiB",
                remedy='write one such as "64KiB", or leave it out',
            )


class Step(StrEnum):
    """What is done about a mirror that is never ready as it goes."""

    SUSPEND = "suspend"  # the guest, when what is left fits in its pause
    THROTTLE = "throttle"  # the guest's writes to that disk
    SYNCHRONOUS = "synchronous"  # begin again: the guest's writes wait for both copies


_LONGEST_PAUSE = 10.0


class AtDeadline(StrEnum):
    ROLL_BACK = "roll-back"
    LONGER_PAUSE = "longer-pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergePolicy:
    # In this order; after the last one the move is rolled back. None at all: as long as it takes.
    steps: tuple[Step, ...] = (Step.SUSPEND, Step.THROTTLE, Step.SYNCHRONOUS)
    # Two windows of this length after the first pass are compared. Shorter ones mistake a guest's burst for its rate.
    evidence: float = _unit(3.0, "duration")
    # Nothing copied for so long, though the storage answers; or twice less than 128 KiB/s (at the default max_pause):
    # it is too slow. At 1.5 s a write what is in flight takes longer than that.
    standstill: float = _unit(30.0, "duration")
    # The guest's writes to a disk are never held to less than this: a database must still answer.
    floor_rate: int = _unit(MiB, "rate")
    floor_iops: int = _count(50)  # 0 would mean no limit
    # What happens at --deadline (move.deadline): a pause of up to longest_pause may end it instead, if the rest fits.
    at_deadline: AtDeadline = AtDeadline.ROLL_BACK
    # A guest's disk timeout is 30 s.
    longest_pause: float = _unit(_LONGEST_PAUSE, "duration")

    def objections(self) -> Iterator[Objection]:
        if len(set(self.steps)) < len(self.steps):
            yield Objection(
                keys=("steps",),
                text="a step is named twice",
                remedy="leave one out: once it has been taken it is not tried again",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacePolicy:
    # Left free at the destination beyond what is allocated at the source: a guest grows while it is copied.
    reserve: int = _unit(256 * MiB, "size")
    # Below this the verification gives way. QEMU pauses the guest when the scratch file can't grow.
    scratch_reserve: int = _unit(512 * MiB, "size")
    # The capacities of a pool's volumes together may be so many times its own; None: thin disks are promised any.
    overcommit: float | None = None
    # So much more than it takes now a disk is given room for where it is placed: its guest writes while it is copied.
    growth: float = 0.05

    def __post_init__(self) -> None:
        if self.overcommit is not None and self.overcommit <= 0:
            raise ValueError("overcommit: more than 0")
        if self.growth < 0:
            raise ValueError("growth: 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePolicy:
    """When a move is worth recommending. The first four figures are what VMware's Storage DRS begins with."""

    # A pool that is filled above this is relieved, and none is filled above it.
    fill: float = 0.8
    # A pool takes a disk only if it ends up filled less than the source was, by this part of itself.
    difference: float = 0.05
    # A pool whose requests take longer than this, 90 of 100, is relieved, and none is brought above it.
    latency: float = _unit(0.015, "duration")
    # How far back the samples go.
    window: float = _unit(86400.0, "duration")
    # A pool takes a disk from a slow one only if it ends up faster by this than the source was.
    latency_difference: float = _unit(0.005, "duration")
    # A disk that was moved is left where it is for so long: what it does there must be seen first.
    settle: float = _unit(86400.0, "duration")
    # More at once nobody reads; the next call has the rest.
    moves: int = 50

    def __post_init__(self) -> None:
        if not (0 < self.fill <= 1 and 0 < self.difference < 1):
            raise ValueError("fill: above 0, up to 1; difference: between 0 and 1")
        if self.moves < 1:
            raise ValueError("moves: 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPolicy:
    # Slices compared at once, and their size: docs/internals.md has the measurements.
    workers: int = _count(4)
    slice: int = _unit(256 * MiB, "size")
    # A held move lists the extents that differ; more than this many say "all over" just as well.
    max_mismatches: int = _count(64)

    def objections(self) -> Iterator[Objection]:
        if self.slice < MiB or self.slice % (64 * KiB):
            yield Objection(
                keys=("slice",),
                text="slices are whole pieces of 64 KiB, and of a MiB at least: each costs the start of a qemu-img",
                remedy='write one such as "256MiB"',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPolicy:
    # A discard may be slow: 1 TiB of them on a busy array took minutes. What is not through then is copied.
    trim: float = _unit(600.0, "duration")
    # How long a cutover insists on thawing before it looks where the disks are; it is tried again later.
    thaw: float = _unit(30.0, "duration")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPolicy:
    # The hypervisor's local disk for the verification's scratch files and socket. None: beside the journal; on another
    # host /var/lib/svmove/scratch.
    scratch: str | None = None


class After(StrEnum):
    """What becomes of the sources of a move that is proven."""

    DELETE = "delete"  # at once, or when keep_for is over
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupPolicy:
    source: After = After.DELETE
    # So long it is kept first; then `svmove gc` may delete it. None: it goes at once.
    keep_for: float | None = _unit(None, "duration")

    def objections(self) -> Iterator[Objection]:
        if self.source is After.KEEP and self.keep_for is not None:
            yield Objection(
                keys=("keep_for", "source"),
                text='means nothing beside source = "keep", which keeps it for ever',
                remedy="leave one of the two out",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """Of hosts that are reached by SSH."""

    # What runs there needs root, to read other users' images; who logs in as somebody else needs this.
    sudo: bool = False
    # 3.11 or later, by its name or path.
    python: str = "python3"


_AS_EVERY = PoolPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    move: MovePolicy = MovePolicy()
    mirror: MirrorPolicy = MirrorPolicy()
    converge: ConvergePolicy = ConvergePolicy()
    space: SpacePolicy = SpacePolicy()
    verify: VerifyPolicy = VerifyPolicy()
    agent: AgentPolicy = AgentPolicy()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    paths: PathPolicy = PathPolicy()
    cleanup: CleanupPolicy = CleanupPolicy()
    host: HostPolicy = HostPolicy()
    windows: Windows = ANY_TIME
    slots: SlotsPolicy = field(default_factory=SlotsPolicy)
    affinity: AffinityPolicy = field(default_factory=AffinityPolicy)
    balance: BalancePolicy = BalancePolicy()
    # Names for libvirt's URIs: what --connect takes.
    hosts: Mapping[str, str] = field(default_factory=dict)
    # By the pool's name.
    pools: Mapping[str, PoolPolicy] = field(default_factory=dict)

    @property
    def budgets(self) -> Budgets:
        return Budgets(slots=self.slots, pools=self.pools)

    def objections(self) -> Iterator[Objection]:
        """Between tables."""
        longest, pause = self.converge.longest_pause, self.move.max_pause
        # Left at its default it does no harm below a max_pause that was made longer.
        meant = self.converge.at_deadline is AtDeadline.LONGER_PAUSE or longest != _LONGEST_PAUSE
        if longest < pause and meant:
            yield Objection(
                keys=(("converge", "longest_pause"), ("move", "max_pause")),
                text=f"is no longer pause: {write_duration(longest)}, and max_pause is {write_duration(pause)}",
                remedy=f'allow more than "{write_duration(pause)}"',
            )

    def reserve(self, pool: str) -> int:
        """Bytes left free in a pool."""
        own = self.pools.get(pool, _AS_EVERY).reserve
        return self.space.reserve if own is None else own

    def overcommit(self, pool: str) -> float | None:
        own = self.pools.get(pool, _AS_EVERY).overcommit
        return self.space.overcommit if own is None else own
