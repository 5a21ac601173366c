"""What strikes at svmove's calls into the world, before their effect or after it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class CrashError(BaseException):
    """svmove dies here, as by kill -9: nothing of it runs any more, no `finally` either."""


class ViolationError(BaseException):
    """What must never happen has happened."""


@dataclass
class Faults:
    """Strikes at call number `at` (from 1) of all calls into the world, before its effect or after it."""

    at: int | None = None
    after_effect: bool = False
    make: Callable[[str, str], BaseException] = lambda _room, call: CrashError(call)
    calls: list[str] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)  # of these calls
    struck: str | None = None
    dead: bool = False

    def enter(self, room: str, call: str) -> bool:
        """Whether this is the call that is to fail once it has had its effect."""
        if self.dead:
            raise CrashError(call)
        self.calls.append(call)
        self.rooms.append(room)
        if len(self.calls) != self.at:
            return False
        if not self.after_effect:
            self.strike(room, call)
        return True

    def strike(self, room: str, call: str) -> None:
        self.struck = call
        error = self.make(room, call)
        self.dead = isinstance(error, CrashError)
        raise error


def counted(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        world = self.world
        name = method.__name__
        strikes = world.faults.enter(self.room, name)
        if (harm := world.before.get(name)) is not None:
            harm()
        result = method(self, *args, **kwargs)
        if strikes:
            world.faults.strike(self.room, name)
        return result

    return call
