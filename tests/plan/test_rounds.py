"""Moves that need each other's room come one after the other; those that don't, at the same time."""

import pytest

from svmove.affinity import AffinityPolicy
from svmove.fleet import FleetDisk
from svmove.plan.ledger import Ledger, bundle
from svmove.plan.rounds import Step, in_rounds, proposals
from svmove.plan.rules import Rules
from svmove.policy import Policy
from svmove.proposals import Why
from tests.fleets import PLAIN, disk, fleet, pool

POLICY = Policy(space=PLAIN)
DISKS = [disk("x", 10, "a"), disk("y", 10, "b"), disk("z", 5, "b"), disk("w", 4, "c")]


def rounds(*wanted: tuple[FleetDisk, str]) -> list[list[str]]:
    found = fleet([pool("a", 0), pool("b", 0), pool("c", 20)], DISKS)
    rules = Rules(AffinityPolicy(), found.disks)
    ledger = Ledger(found, rules, POLICY)
    steps: list[Step] = [(bundle([one], rules, POLICY), to, Why.SPACE) for one, to in wanted]
    moves = proposals(in_rounds(steps, ledger), {})
    numbers = sorted({move.round for move in moves})
    return [[str(move.guest) for move in moves if move.round == number] for number in numbers]


def test_what_has_room_at_once_is_one_round() -> None:
    assert rounds((DISKS[0], "c"), (DISKS[2], "c")) == [["x", "z"]]


def test_what_needs_the_room_of_another_waits_for_its_end() -> None:
    assert rounds((DISKS[0], "c"), (DISKS[1], "a")) == [["x"], ["y"]]


def test_a_chain_of_needs_is_a_chain_of_rounds_and_what_comes_later_waits_too() -> None:
    # w fits into a only when x has left, and keeps its place behind y.
    assert rounds((DISKS[2], "c"), (DISKS[0], "c"), (DISKS[1], "a"), (DISKS[3], "b")) == [["x", "z"], ["y", "w"]]


def test_steps_that_can_not_follow_one_another_are_a_fault() -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        rounds((DISKS[1], "a"))
