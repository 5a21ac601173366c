"""Which method moves the disks, and why: a table of rules, the first that says something counts."""

from collections.abc import Callable
from dataclasses import dataclass

from svmove.model import DomainState, Inventory
from svmove.moves import Method, Request, Verify
from svmove.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    request: Request
    inventory: Inventory
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    method: Method
    why: str

    def verify(self, asked: Verify | None) -> Verify:
        """What was asked, or else the method's own way."""
        if self.method is Method.OFFLINE:  # there is no other moment
            return Verify.NONE if asked is Verify.NONE else Verify.BEFORE
        if asked is not None:
            return asked
        return Verify.BEFORE if self.method is Method.SNAPSHOT else Verify.CUTOVER


def asked(facts: Facts) -> Chosen | None:
    if facts.request.method is Method.AUTO:
        return None
    return Chosen(method=facts.request.method, why="as asked")


def off(facts: Facts) -> Chosen | None:
    if facts.inventory.domain.state is not DomainState.OFF:
        return None
    return Chosen(method=Method.OFFLINE, why="the guest is off")


def default(_facts: Facts) -> Chosen:
    return Chosen(method=Method.MIRROR, why="nothing speaks for another")


RULES: tuple[Callable[[Facts], Chosen | None], ...] = (asked, off)


def choose_method(facts: Facts) -> Chosen:
    return next((chosen for rule in RULES if (chosen := rule(facts)) is not None), default(facts))
