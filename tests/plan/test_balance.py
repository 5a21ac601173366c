"""What is recommended, what it brings and costs, and that nothing goes to and fro."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.affinity import AffinityPolicy, Group, Pin, Selection
from svmove.errors import NotFoundError
from svmove.fleet import Fleet, Stay
from svmove.plan.balance import balance
from svmove.plan.heat import Heat
from svmove.policy import BalancePolicy, Policy
from svmove.proposals import Balance, Why
from svmove.units import GiB
from tests.fleets import PLAIN, check, disk, fleet, pool
from tests.plan.test_placement import POLICIES, fleets

NOW = 1_700_000_000.0


def policy(space: float = 0.8, **changed: Any) -> Policy:
    affinity = {
        key: changed.pop(key) for key in list(changed) if key in ("together", "apart", "exclude", "pin", "closed")
    }
    return Policy(space=PLAIN, affinity=AffinityPolicy(**affinity), balance=BalancePolicy(fill=space, **changed))


def balanced(found: Fleet, rules: Policy, pools: tuple[str, ...] = ()) -> Balance:
    balance_ = balance(found, rules, pools, now=NOW)
    check(found, rules, sorted((m for r in balance_.recommendations for m in r.moves), key=lambda m: m.round))
    return balance_


def told(found: Balance) -> list[tuple[str, list[str], str]]:
    return [(r.why, [f"{m.guest}/{m.target}" for m in r.moves], r.moves[0].pool_to) for r in found.recommendations]


def after(found: Fleet, balance_: Balance) -> Fleet:
    """The fleet when all has been done."""
    to = {(m.uuid, m.target): m.pool_to for r in balance_.recommendations for m in r.moves}
    disks = tuple(dataclasses.replace(one, pool=to.get(one.key, one.pool)) for one in found.disks)
    pools = []
    for one in found.pools:
        came = sum(
            d.allocation - (was.allocation if was.pool == d.pool else 0)
            for d, was in zip(disks, found.disks, strict=True)
            if d.pool == one.name
        )
        went = sum(
            was.allocation
            for d, was in zip(disks, found.disks, strict=True)
            if was.pool == one.name and d.pool != one.name
        )
        promised = sum(d.capacity for d in disks if d.pool == one.name)
        outlook = next((p for p in balance_.pools if p.pool == one.name), None)
        latency = outlook.latency_after if outlook and one.latency is not None else one.latency
        pools.append(
            dataclasses.replace(one, available=one.available - came + went, promised=promised, latency=latency)
        )
    return dataclasses.replace(found, pools=tuple(pools), disks=disks)


# Space


def test_nothing_is_recommended_where_nothing_is_too_full() -> None:
    found = fleet([pool("a", 21), pool("b", 90)], [disk("web", 30, "a")])
    assert told(balanced(found, policy())) == []


def test_a_pool_that_is_too_full_gives_what_brings_it_below_with_the_least_to_copy() -> None:
    disks = [disk("small", 4, "a"), disk("right", 12, "a"), disk("large", 60, "a")]
    found = balanced(fleet([pool("a", 10), pool("b", 90)], disks), policy())
    assert told(found) == [("space", ["right/vda"], "b")]
    (one,) = found.recommendations
    assert one.copy_bytes == 12 * GiB
    assert one.seconds == pytest.approx(61.44)
    assert "a 90% → 78%" in one.text
    assert "b 10% → 22%" in one.text


def test_an_idle_disk_goes_rather_than_one_that_is_in_use() -> None:
    disks = [disk("busy", 12, "a", load=4.0), disk("idle", 13, "a")]
    assert told(balanced(fleet([pool("a", 10), pool("b", 90)], disks), policy()))[0][1] == ["idle/vda"]


def test_a_slow_way_is_taken_less_gladly() -> None:
    rates = {("a", "b"): 10.0 * GiB, ("a", "c"): 0.1 * GiB}
    disks = [disk("web", 12, "a")]
    found = fleet([pool("a", 10), pool("b", 60), pool("c", 90)], disks, past_rates=rates)
    (one,) = balanced(found, policy()).recommendations
    assert one.seconds == pytest.approx(12 / (0.1 if one.moves[0].pool_to == "c" else 10))


def test_a_difference_that_is_too_small_moves_nothing_and_the_pool_is_told_of() -> None:
    found = balanced(fleet([pool("a", 18), pool("b", 24)], [disk("web", 3, "a")]), policy(difference=0.05))
    assert (told(found), dict(found.unrelieved)) == ([], {"a": "space"})


def test_no_pool_is_filled_above_the_threshold() -> None:
    disks = [disk(f"g{n}", 10, "a") for n in range(9)]
    found = balanced(fleet([pool("a", 5), pool("b", 35), pool("c", 35)], disks), policy())
    assert all(one.fill_after <= 0.8 for one in found.pools if one.pool != "a")
    assert len(found.recommendations) == 2


def test_what_may_not_move_is_not_recommended() -> None:
    disks = [
        disk("lun", 30, "a", stays=Stay(code="lun", text="a LUN")),
        disk("excluded", 30, "a"),
        disk("pinned", 25, "a"),
    ]
    rules = policy(exclude=(Selection(guests=("excluded",)),), pin=(Pin(guests=("pinned",), pools=("a",)),))
    assert told(balanced(fleet([pool("a", 5), pool("b", 90)], disks), rules)) == []


def test_what_is_kept_together_goes_together() -> None:
    disks = [disk("web/vda", 6, "a"), disk("web/vdb", 6, "a")]
    found = balanced(fleet([pool("a", 10), pool("b", 90)], disks), policy(together=(Group(guests=("web",)),)))
    assert told(found) == [("space", ["web/vda", "web/vdb"], "b")]


def test_only_the_pools_that_are_named_are_looked_at() -> None:
    found = fleet([pool("a", 5), pool("b", 60), pool("c", 90)], [disk("web", 20, "a")])
    assert told(balanced(found, policy(), ("a", "b"))) == [("space", ["web/vda"], "b")]
    assert told(balanced(found, policy(), ("b", "c"))) == []
    with pytest.raises(NotFoundError):
        balance(found, policy(), ("d",), now=NOW)


def test_no_more_is_recommended_than_was_asked_for() -> None:
    disks = [disk(f"g{n}", 2, "a") for n in range(40)]
    assert len(balanced(fleet([pool("a", 0), pool("b", 90)], disks), policy(moves=3)).recommendations) == 3


# Latency


def test_a_slow_pool_gives_the_disk_that_lightens_it_most_for_its_cost() -> None:
    disks = [
        disk("busy", 10, "a", load=6.0),
        disk("heavy", 60, "a", load=6.0),
        disk("idle", 1, "a"),
        disk("x", 1, "b", load=2.0),
    ]
    pools = [pool("a", 25, latency=0.024), pool("b", 80, latency=0.002)]
    found = balanced(fleet(pools, disks), policy())
    assert told(found) == [("latency", ["busy/vda"], "b")]
    (one,) = found.recommendations
    assert one.source.latency_after == pytest.approx(0.012)
    assert one.destination.latency_after == pytest.approx(0.008)
    assert "a 24 ms → 12 ms" in one.text


def test_a_pool_that_would_become_too_slow_takes_nothing() -> None:
    disks = [disk("busy", 10, "a", load=6.0), disk("x", 1, "b", load=1.0)]
    pools = [pool("a", 50, latency=0.024), pool("b", 80, latency=0.01)]
    found = balanced(fleet(pools, disks), policy())
    assert (told(found), dict(found.unrelieved)) == ([], {"a": "latency"})


def test_a_full_pool_is_not_relieved_into_a_slow_one() -> None:
    disks = [disk("web", 12, "a", load=1.0), disk("x", 1, "b", load=1.0)]
    found = fleet([pool("a", 10, latency=0.001), pool("b", 90, latency=0.02), pool("c", 60, latency=0.001)], disks)
    assert told(balanced(found, policy()))[0] == ("space", ["web/vda"], "c")


def test_a_pool_that_nothing_is_known_of_counts_as_one_of_the_middle() -> None:
    found = fleet(
        [pool("a", latency=0.02), pool("b", latency=0.004), pool("c")],
        [disk("x", 1, "a", load=2.0), disk("y", 1, "b", load=2.0)],
    )
    heat = Heat(found)
    assert heat.latency("c") == 0
    assert heat.with_("c", 1.0) == pytest.approx(0.006)
    assert Heat(fleet([pool("a")], [])).latency("a") is None


# Rules


def test_what_lies_where_a_rule_does_not_want_it_is_moved_first() -> None:
    disks = [disk("db-1", 5, "a"), disk("db-2", 4, "a"), disk("gold", 3, "a")]
    rules = policy(apart=(Group(guests=("db-*",)),), pin=(Pin(guests=("gold",), pools=("b",)),))
    found = balanced(fleet([pool("a", 50), pool("b", 90)], disks), rules)
    assert sorted(told(found)) == [("rule", ["db-2/vda"], "b"), ("rule", ["gold/vda"], "b")]


def test_a_group_that_is_split_is_brought_to_its_larger_part() -> None:
    disks = [disk("web/vda", 20, "a"), disk("web/vdb", 5, "b")]
    found = balanced(fleet([pool("a", 50), pool("b", 90)], disks), policy(together=(Group(guests=("web",)),)))
    assert told(found) == [("rule", ["web/vdb"], "a")]


def test_a_part_of_a_group_that_is_split_goes_to_the_others_or_stays() -> None:
    # a holds most of it, and may not have it by the pin; b may, and has no room for that.
    disks = [disk("web/vda", 5, "a"), disk("web/vdb", 5, "a"), disk("web/vdc", 1, "b")]
    rules = policy(together=(Group(guests=("web",)),), pin=(Pin(guests=("web",), pools=("b", "c")),))
    found = balanced(fleet([pool("a", 50), pool("b", 21), pool("c", 24)], disks), rules)
    assert (told(found), dict(found.unrelieved)) == ([], {"a": "rule", "b": "rule"})


# To and fro


def test_what_was_moved_lately_stays() -> None:
    web, db = disk("web", 15, "a"), disk("db", 30, "a")
    pools = [pool("a", 10), pool("b", 90)]
    assert told(balanced(fleet(pools, [web, db]), policy()))[0][1] == ["web/vda"]
    lately = fleet(pools, [web, db], moved={web.key: NOW - 3600})
    assert told(balanced(lately, policy()))[0][1] == ["db/vda"]
    long_ago = fleet(pools, [web, db], moved={web.key: NOW - 3 * 86400})
    assert told(balanced(long_ago, policy()))[0][1] == ["web/vda"]


def test_of_a_group_one_that_was_moved_lately_holds_the_others() -> None:
    disks = [disk("web/vda", 15, "a"), disk("web/vdb", 5, "a")]
    found = fleet([pool("a", 10), pool("b", 90)], disks, moved={disks[1].key: NOW - 3600})
    assert told(balanced(found, policy(together=(Group(guests=("web",)),)))) == []


@given(found=fleets(), rules=POLICIES)
def test_no_recommendation_overfills_a_pool_or_breaks_a_rule(found: Fleet, rules: Policy) -> None:
    balanced(found, rules)


@given(found=fleets(), rules=POLICIES)
def test_when_all_has_been_done_nothing_goes_back(found: Fleet, rules: Policy) -> None:
    """Even if the disks were free to move again at once."""
    first = balanced(found, rules)
    gone = {(m.uuid, m.target): m.pool_from for r in first.recommendations for m in r.moves}
    second = balanced(after(found, first), rules)
    for one in second.recommendations:
        for move in one.moves:
            assert gone.get((move.uuid, move.target)) != move.pool_to


@given(part=st.floats(0.05, 0.95), size=st.integers(1, 20))
def test_two_pools_and_equal_disks_come_to_rest(part: float, size: int) -> None:
    count = 80 // size
    disks = [disk(f"g{n}", size, "a" if n < count * part else "b") for n in range(count)]
    sizes = {name: sum(d.allocation for d in disks if d.pool == name) // GiB for name in "ab"}
    found = fleet([pool("a", 100 - sizes["a"]), pool("b", 100 - sizes["b"])], disks)
    rules = policy(0.6)
    for _ in range(4):
        step = balanced(found, rules)
        found = after(found, step)
    assert told(balanced(found, rules)) == []


def test_why_is_one_of_the_documented_words() -> None:
    assert [str(why) for why in Why] == ["evacuate", "rule", "space", "latency"]
