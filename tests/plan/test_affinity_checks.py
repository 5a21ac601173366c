"""A person's own move may break a rule of the policy, and is told so."""

from typing import Any

import pytest

from svmove.affinity import AffinityPolicy, Group, Pin, Selection
from svmove.fleet import FleetDisk
from svmove.moves import Level
from svmove.policy import Policy
from tests.builders import UUID, inventory, planned, request
from tests.fleets import disk

OURS = disk("web/vda", where="slow", uuid=UUID)


def warned(*fleet: FleetDisk, to: str = "fast", **affinity: Any) -> list[str]:
    plan = planned(request(to=to), inventory(fleet=fleet), Policy(affinity=AffinityPolicy(**affinity)))
    found = [one for one in plan.findings if one.code == "affinity"]
    assert all(one.level is Level.WARN for one in found)
    assert not plan.refused
    return [one.text for one in found]


@pytest.mark.parametrize(
    ("others", "affinity"),
    [
        ((), {"pin": (Pin(guests=("web",), pools=("slow",), name="the pin"),)}),
        ((), {"closed": ("fast",)}),
        ((disk("db", where="fast"),), {"apart": (Group(guests=("web", "db"), name="the pair"),)}),
        ((disk("db", where="slow"),), {"together": (Group(guests=("web", "db")),)}),
    ],
)
def test_a_rule_that_the_move_breaks_is_told(others: tuple[FleetDisk, ...], affinity: dict[str, Any]) -> None:
    (text,) = warned(OURS, *others, **affinity)
    assert "broken by this" in text


@pytest.mark.parametrize(
    ("others", "affinity"),
    [
        ((), {"pin": (Pin(guests=("web",), pools=("fast",)),)}),
        ((), {"exclude": (Selection(guests=("web",)),)}),
        ((disk("db", where="slow"),), {"apart": (Group(guests=("web", "db")),)}),
        ((disk("db", where="fast"),), {"together": (Group(guests=("web", "db")),)}),
        # Broken before, and not by this move.
        ((disk("a", where="slow"), disk("b", where="slow")), {"apart": (Group(guests=("a", "b")),)}),
    ],
)
def test_a_rule_that_the_move_keeps_is_not(others: tuple[FleetDisk, ...], affinity: dict[str, Any]) -> None:
    assert warned(OURS, *others, **affinity) == []
