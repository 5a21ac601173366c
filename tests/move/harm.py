"""When a harm strikes, and how a move that it struck ends."""

from collections.abc import Callable

from svmove.model import DomainState
from svmove.outcomes import GuestOn, Outcome, State
from tests.fake import World
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
    assert [finding for finding in outcome.findings if finding.code != "known-bad"] == []


def assert_held(stage: Stage, outcome: Outcome, code: str) -> None:
    assert outcome.state is State.HELD
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.move is not None
    assert stage.check(outcome.move) == "held"
    assert all(stage.sources().values())
    assert all(stage.destinations().values())
