"""When a harm strikes, and how a move that it struck ends."""

from collections.abc import Callable

import pytest

from svmove.errors import HypervisorError
from svmove.model import DomainState
from svmove.outcomes import GuestOn, Outcome, State
from tests.fake import CrashError, Faults, World
from tests.move.stage import Stage


def once(harm: Callable[[], None]) -> Callable[[], None]:
    """The harm at the first call, and none later."""
    left = [harm]
    return lambda: left.pop()() if left else None


def at_call(number: int, harm: Callable[[], None]) -> Callable[[], None]:
    seen = iter(range(1, 10_000))
    return lambda: harm() if next(seen) == number else None


def stall(world: World) -> None:
    """While the guest stands, there is always something left to drain."""
    for drive in world.drives.values():
        if world.state is DomainState.PAUSED and drive.mirror is not None:
            drive.mirror.per_tick = 0
            drive.mirror.dirty.add(0)


def assert_rolled_back(stage: Stage, outcome: Outcome, code: str) -> None:
    assert outcome.state is State.ROLLED_BACK
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.error.guest_on is GuestOn.SOURCE
    assert outcome.move is not None
    assert stage.check(outcome.move) == "rolled-back"
    assert not any(stage.destinations().values())
    assert [finding for finding in outcome.findings if finding.code not in ("known-bad", "old-version")] == []


def assert_held(stage: Stage, outcome: Outcome, code: str) -> None:
    assert outcome.state is State.HELD
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.move is not None
    assert stage.check(outcome.move) == "held"
    assert all(stage.sources().values())
    assert all(stage.destinations().values())


def refused_start(stage: Stage) -> None:
    with pytest.raises(HypervisorError, match="lock"):
        stage.world.start_guest()


def killed(stage: Stage, call: str, number: int = 1) -> str:
    """The move, whose svmove died at that call."""

    def die() -> None:
        stage.world.faults.dead = True
        raise CrashError(call)

    stage.world.before[call] = at_call(number, die)
    with pytest.raises(CrashError):
        stage.move()
    stage.world.faults = Faults()
    stage.world.before.clear()
    (move,) = stage.mover().open_moves()
    assert stage.world.locked == set()
    return move
