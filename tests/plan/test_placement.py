"""Where what is to leave a pool goes, and where new volumes are made: each rule on its own, then all at random."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.affinity import AffinityPolicy, Group, Pin, Selection
from svmove.budgets import PoolPolicy
from svmove.errors import NotFoundError, RefusedError
from svmove.fleet import Fleet, FleetDisk, Loose, Stay
from svmove.plan.placement import evacuate, place
from svmove.policy import Policy, SpacePolicy
from svmove.proposals import Evacuation, NewVolume
from svmove.units import GiB
from tests.fleets import PLAIN, check, disk, fleet, pool, to


def policy(space: SpacePolicy = PLAIN, pools: dict[str, PoolPolicy] | None = None, **affinity: Any) -> Policy:
    return Policy(space=space, pools=pools or {}, affinity=AffinityPolicy(**affinity))


def stays(found: Evacuation) -> dict[str, str]:
    return {f"{one.guest}/{one.target}" if one.guest else one.volume: one.stay.code for one in found.stays}


OLD = pool("old", free=10)


def emptied(found: Fleet, rules: Policy, **options: Any) -> Evacuation:
    evacuation = evacuate(found, rules, "old", **options)
    check(found, rules, evacuation.moves)
    moved = {(move.uuid, move.target) for move in evacuation.moves}
    left = {one.key for one in found.disks if one.pool == "old"} - moved
    assert len(evacuation.stays) == len(left) + len([one for one in found.loose if one.pool == "old"])
    return evacuation


# Space


def test_all_that_can_move_goes_where_it_leaves_the_pools_evenly_filled() -> None:
    found = fleet([OLD, pool("a", 50), pool("b", 50)], [disk(f"g{n}", 10) for n in range(4)])
    evacuation = emptied(found, policy())
    assert sorted(to(evacuation.moves).values()) == ["a", "a", "b", "b"]
    assert {one.pool: round(one.fill_after, 2) for one in evacuation.pools} == {"old": 0.5, "a": 0.7, "b": 0.7}
    assert evacuation.copy_bytes == 40 * GiB


def test_pools_of_different_sizes_are_filled_to_the_same_part() -> None:
    found = fleet([OLD, pool("a", 100, 100), pool("b", 300, 300)], [disk(f"g{n}", 1) for n in range(40)])
    evacuation = emptied(found, policy())
    assert [list(to(evacuation.moves).values()).count(name) for name in "ab"] == [10, 30]


def test_the_reserve_stays_free_and_a_pool_may_have_its_own() -> None:
    found = fleet([OLD, pool("a", 50), pool("b", 50)], [disk("web", 40)])
    space = SpacePolicy(reserve=11 * GiB, growth=0.0)
    assert stays(emptied(found, policy(space))) == {"web/vda": "no-room"}
    own = {"b": PoolPolicy(reserve=10 * GiB)}
    assert to(emptied(found, policy(space, own)).moves) == {"web/vda": "b"}


def test_what_a_guest_writes_meanwhile_has_room_too_but_never_more_than_its_disk() -> None:
    found = fleet([OLD, pool("a", 10)], [disk("web", 10, capacity=20 * GiB)])
    assert stays(emptied(found, policy(SpacePolicy(reserve=0, growth=0.05)))) == {"web/vda": "no-room"}
    full = fleet([OLD, pool("a", 10)], [disk("web", 10)])
    assert stays(emptied(full, policy(SpacePolicy(reserve=0, growth=0.05)))) == {}
    off = fleet([OLD, pool("a", 10)], [disk("web", 10, capacity=20 * GiB, running=False)])
    assert stays(emptied(off, policy(SpacePolicy(reserve=0, growth=0.05)))) == {}


def test_where_volumes_have_their_room_from_the_start_all_of_it_must_be_there() -> None:
    found = fleet([OLD, pool("lvm", 15, type="logical")], [disk("web", 10, capacity=20 * GiB)])
    assert stays(emptied(found, policy())) == {"web/vda": "no-room"}


def test_promises_are_limited_by_overcommit_whatever_is_free() -> None:
    thin = [disk(f"g{n}", 1, capacity=30 * GiB) for n in range(4)]
    found = fleet([OLD, pool("a", 90)], thin)
    evacuation = emptied(found, policy(SpacePolicy(reserve=0, growth=0.0, overcommit=1.0)))
    assert (len(evacuation.moves), set(stays(evacuation).values())) == (3, {"overcommit"})
    evacuation = emptied(found, policy(pools={"a": PoolPolicy(overcommit=1.2)}))
    assert len(evacuation.moves) == 4


def test_pools_of_one_file_system_share_its_room() -> None:
    shared = [pool("a", 15, place="xfs"), pool("b", 15, place="xfs")]
    found = fleet([OLD, *shared], [disk("g0", 10), disk("g1", 10)])
    evacuation = emptied(found, policy())
    assert (len(evacuation.moves), list(stays(evacuation).values())) == (1, ["no-room"])


def test_a_pool_is_not_emptied_onto_its_own_file_system_unless_that_is_asked_for() -> None:
    found = fleet([pool("old", 90, place="xfs"), pool("a", 90, place="xfs")], [disk("web")])
    assert stays(emptied(found, policy())) == {"web/vda": "no-pool"}
    assert to(emptied(found, policy(), to=["a"]).moves) == {"web/vda": "a"}


def test_a_tight_fit_is_found_that_filling_evenly_would_miss() -> None:
    found = fleet([OLD, pool("a", 10), pool("b", 7)], [disk("g0", 6), disk("g1", 5), disk("g2", 4), disk("g3", 2)])
    assert stays(emptied(found, policy())) == {}


def test_when_not_all_has_room_most_of_the_bytes_go() -> None:
    found = fleet([OLD, pool("a", 10)], [disk("small", 3), disk("large", 9)])
    evacuation = emptied(found, policy())
    assert to(evacuation.moves) == {"large/vda": "a"}
    assert [(one.guest, one.stay.code) for one in evacuation.stays] == [("small", "no-room")]


def test_a_volume_of_that_name_is_not_met() -> None:
    there = disk("other", 1, where="a", volume="web-vda.qcow2")
    found = fleet([OLD, pool("a", 50), pool("b", 20)], [disk("web", 10), there])
    assert to(emptied(found, policy()).moves) == {"web/vda": "b"}


# What stays


def test_what_can_t_move_is_told_with_its_reason_the_largest_first() -> None:
    lun = disk("db", 30, stays=Stay(code="lun", text="a LUN"))
    iso = Loose(pool="old", volume="x.iso", allocation=GiB, stays=Stay(code="no-guest", text="nobody's"))
    elsewhere = Loose(pool="a", volume="y.iso", allocation=GiB, stays=Stay(code="no-guest", text="nobody's"))
    found = fleet([OLD, pool("a", 50)], [disk("web"), lun], loose=(iso, elsewhere))
    evacuation = emptied(found, policy())
    assert [(one.volume, one.stay.code) for one in evacuation.stays] == [("db-vda.qcow2", "lun"), ("x.iso", "no-guest")]
    assert to(evacuation.moves) == {"web/vda": "a"}


def test_a_disk_with_a_chain_goes_to_pools_of_files_only() -> None:
    found = fleet([OLD, pool("rbd", 90, type="rbd"), pool("a", 20)], [disk("web", files_only=True), disk("db")])
    assert to(emptied(found, policy()).moves) == {"web/vda": "a", "db/vda": "rbd"}


def test_pools_that_take_nothing_are_no_destinations() -> None:
    pools = [OLD, pool("off", active=False), pool("lun", type="iscsi-direct"), pool("closed"), pool("a", 20)]
    found = fleet(pools, [disk("web")])
    assert emptied(found, policy(closed=("clo*",))).to == ("a",)


@pytest.mark.parametrize("name", ["off", "lun", "closed", "old"])
def test_a_pool_that_takes_nothing_is_refused_when_it_is_named(name: str) -> None:
    pools = [OLD, pool("off", active=False), pool("lun", type="iscsi-direct"), pool("closed")]
    with pytest.raises(RefusedError, match=name):
        evacuate(fleet(pools, [disk("web")]), policy(closed=("closed",)), "old", [name])


def test_unknown_pools_are_told_with_the_nearest_names() -> None:
    found = fleet([OLD, pool("fast")], [])
    for call in (
        lambda: evacuate(found, policy(), "odl"),
        lambda: evacuate(found, policy(), "old", ["fats"]),
        lambda: place(found, policy(), GiB, pools=["fats"]),
    ):
        with pytest.raises(NotFoundError):
            call()


# The rules


def test_what_is_excluded_stays() -> None:
    found = fleet([OLD, pool("a")], [disk("web"), disk("db/vda"), disk("db/vdb")])
    evacuation = emptied(found, policy(exclude=(Selection(disks=("db/vd[b-z]",)),)))
    assert stays(evacuation) == {"db/vdb": "excluded"}


def test_what_is_pinned_goes_where_it_may_be() -> None:
    gold = (("app:app/app:tier", "gold"),)
    found = fleet([OLD, pool("a", 90), pool("ssd-1", 20)], [disk("web"), disk("db", tags=gold)])
    pin = Pin(metadata=("tier=gold",), pools=("ssd-*",))
    assert to(emptied(found, policy(pin=(pin,))).moves) == {"web/vda": "a", "db/vda": "ssd-1"}
    assert stays(emptied(found, policy(pin=(pin,)), to=["a"])) == {"db/vda": "no-pool"}


def test_what_is_kept_together_goes_to_one_pool_or_not_at_all() -> None:
    rule = Group(guests=("web",))
    disks = [disk("web/vda", 10), disk("web/vdb", 10)]
    assert len(set(to(emptied(fleet([OLD, pool("a", 15), pool("b", 25)], disks), policy(together=(rule,))).moves))) == 2
    evacuation = emptied(fleet([OLD, pool("a", 15), pool("b", 15)], disks), policy(together=(rule,)))
    assert stays(evacuation) == {"web/vda": "no-room", "web/vdb": "no-room"}
    assert "together" in evacuation.stays[0].stay.text


def test_what_is_kept_with_something_that_stays_stays_too() -> None:
    disks = [disk("web/vda"), disk("web/vdb", stays=Stay(code="lun", text="a LUN"))]
    evacuation = emptied(fleet([OLD, pool("a", 90)], disks), policy(together=(Group(guests=("web",)),)))
    assert stays(evacuation) == {"web/vda": "together", "web/vdb": "lun"}


def test_a_group_that_is_split_comes_together_where_its_rest_is() -> None:
    disks = [disk("web/vda"), disk("web/vdb", where="b")]
    found = fleet([OLD, pool("a", 90), pool("b", 30)], disks)
    assert to(emptied(found, policy(together=(Group(guests=("web",)),))).moves) == {"web/vda": "b"}


def test_each_guest_s_disks_are_kept_together_without_binding_guests_to_one_another() -> None:
    rule = Group(guests=("*",), each_guest=True)
    disks = [disk(f"g{guest}/vd{d}", 10) for guest in range(3) for d in "ab"]
    found = fleet([OLD, pool("a", 25), pool("b", 25), pool("c", 25)], disks)
    assert stays(emptied(found, policy(together=(rule,)))) == {}
    everything = emptied(found, policy(together=(Group(guests=("*",)),)))
    assert set(stays(everything).values()) == {"no-room"}


def test_guests_that_are_kept_apart_never_share_a_pool() -> None:
    rule = Group(guests=("db-*",), name="the cluster")
    found = fleet([OLD, pool("a", 90), pool("b", 30)], [disk("db-1"), disk("db-2"), disk("db-3")])
    evacuation = emptied(found, policy(apart=(rule,)))
    assert sorted(to(evacuation.moves).values()) == ["a", "b"]
    assert [one.stay.code for one in evacuation.stays] == ["apart"]
    assert "the cluster" in evacuation.stays[0].stay.text


def test_a_guest_is_apart_from_those_that_are_there_already() -> None:
    found = fleet([OLD, pool("a", 90), pool("b", 30)], [disk("db-1"), disk("db-2", where="a")])
    assert to(emptied(found, policy(apart=(Group(guests=("db-*",)),))).moves) == {"db-1/vda": "b"}


def test_disks_are_kept_apart_one_by_one_when_they_are_named_or_within_each_guest() -> None:
    disks = [disk("db/vda"), disk("db/vdb"), disk("web/vda")]
    found = fleet([OLD, pool("a", 90), pool("b", 30)], disks)
    for rule in (Group(disks=("db/*",)), Group(guests=("*",), each_guest=True)):
        moves = to(emptied(found, policy(apart=(rule,))).moves)
        assert moves["db/vda"] != moves["db/vdb"]
    assert len(emptied(found, policy(apart=(Group(guests=("db",)),))).moves) == 3


def test_rules_that_contradict_each_other_move_nothing() -> None:
    rules = policy(together=(Group(guests=("db",)),), apart=(Group(disks=("db/*",)),))
    found = fleet([OLD, pool("a", 90)], [disk("db/vda"), disk("db/vdb")])
    assert set(stays(emptied(found, rules)).values()) == {"apart"}


# The order


def test_disks_of_one_guest_come_one_after_the_other_and_the_longest_guest_first() -> None:
    disks = [disk("a", 1), disk("b/vda", 5), disk("c", 7), disk("b/vdb", 5)]
    evacuation = emptied(fleet([OLD, pool("x", 90)], disks), policy())
    assert list(to(evacuation.moves)) == ["b/vda", "b/vdb", "c/vda", "a/vda"]


def test_the_estimate_goes_by_past_rates_and_by_how_many_guests_move_at_once() -> None:
    found = fleet([OLD, pool("a", 90)], [disk(f"g{n}", 10) for n in range(4)], past_rates={("old", "a"): float(GiB)})
    assert emptied(found, policy(), at_once=1).seconds == pytest.approx(40)
    assert emptied(found, policy(), at_once=2).seconds == pytest.approx(20)


# New volumes


def test_new_volumes_are_spread_and_pools_that_are_not_taken_are_told_with_the_reason() -> None:
    found = fleet([pool("a", 50), pool("b", 45), pool("small", 5), pool("off", active=False)], [])
    places = place(found, policy(), 20 * GiB, count=3)
    assert sorted(filter(None, places.pools)) == ["a", "a", "b"]
    assert set(places.refused) == {"small", "off"}


def test_a_volume_for_which_there_is_no_room_has_no_place() -> None:
    assert place(fleet([pool("a", 30)], []), policy(), 20 * GiB, count=2).pools.count(None) == 1


def test_a_thin_volume_counts_as_a_promise_where_promises_are_limited() -> None:
    found = fleet([pool("a", 10, promised=100 * GiB)], [])
    assert place(found, policy(), 20 * GiB).pools == (None,)
    limited = policy(pools={"a": PoolPolicy(overcommit=1.2)})
    assert place(found, limited, 20 * GiB).pools == ("a",)
    assert place(found, limited, 21 * GiB).pools == (None,)
    assert place(found, limited, 20 * GiB, new=NewVolume(thin=False)).pools == (None,)


def test_a_new_volume_keeps_to_the_rules_of_its_guest() -> None:
    found = fleet([pool("a", 90), pool("b", 50), pool("c", 20)], [disk("db-1", where="a"), disk("db-2", where="b")])
    rules = policy(apart=(Group(guests=("db-*",)),))
    assert place(found, rules, GiB, new=NewVolume(guest="db-2")).pools == ("b",)
    assert place(found, policy(together=(Group(guests=("db-1",)),)), GiB, new=NewVolume(guest="db-1")).pools == ("a",)
    with pytest.raises(NotFoundError):
        place(found, rules, GiB, new=NewVolume(guest="db-3"))


def test_a_volume_that_needs_a_file_goes_to_pools_of_files() -> None:
    found = fleet([pool("rbd", 90, type="rbd"), pool("a", 20)], [])
    assert place(found, policy(), GiB).pools == ("rbd",)
    places = place(found, policy(), GiB, new=NewVolume(files_only=True))
    assert (places.pools, dict(places.refused)) == (("a",), {"rbd": "not a pool of files"})


def test_a_slow_pool_is_taken_last() -> None:
    found = fleet([pool("a", 90, latency=0.05), pool("b", 20)], [])
    assert place(found, policy(), GiB).pools == ("b",)
    assert place(found, policy(), 30 * GiB).pools == ("a",)


# All at random

NAMES = ("old", "p1", "p2", "p3", "p4")


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    pools = [
        pool(
            name,
            draw(st.integers(0, 40)),
            60,
            place=draw(st.sampled_from((name, name, "shared"))) if name in ("p1", "p2") else name,
            type=draw(st.sampled_from(("dir", "dir", "rbd", "logical"))),
            latency=draw(st.sampled_from((None, 0.004, 0.03))),
        )
        for name in NAMES
    ]
    if pools[1].place == pools[2].place == "shared":
        pools[2] = dataclasses.replace(pools[1], name="p2")
    disks: list[FleetDisk] = []
    gold = draw(st.sets(st.integers(0, 4), max_size=2))
    for number in range(draw(st.integers(1, 10))):
        size, guest = draw(st.integers(1, 20)), draw(st.integers(0, 4))
        disks.append(
            disk(
                f"g{guest}/vd{'abcdefghij'[number]}",
                size,
                draw(st.sampled_from((*NAMES, "old", "old"))),
                capacity=(size + draw(st.integers(0, 10))) * GiB,
                running=draw(st.booleans()),
                files_only=draw(st.booleans()),
                stays=draw(st.sampled_from((None, None, None, Stay(code="lun", text="a LUN")))),
                tags=(("app:tier", "gold"),) if guest in gold else (),
                load=draw(st.sampled_from((0.0, 0.5, 3.0))),
            )
        )
    return fleet(pools, disks)


SELECTED: dict[str, Any] = {
    "guests": st.lists(st.sampled_from(("g0", "g1", "g2", "g[34]", "*")), max_size=2).map(tuple),
    "disks": st.lists(st.sampled_from(("*/vda", "g1/*", "g[02]/vd[b-e]")), max_size=2).map(tuple),
    "metadata": st.sampled_from(((), ("tier=gold",))),
}


def selections(kind: type[Any], **more: Any) -> st.SearchStrategy[Any]:
    given_ = st.fixed_dictionaries({**SELECTED, **more})
    return given_.filter(lambda g: g["guests"] or g["disks"] or g["metadata"]).map(lambda g: kind(**g))


POLICIES = st.builds(
    lambda together, apart, exclude, pin, closed, reserve, overcommit: Policy(
        space=SpacePolicy(reserve=reserve * GiB, growth=0.05, overcommit=overcommit),
        affinity=AffinityPolicy(together=together, apart=apart, exclude=exclude, pin=pin, closed=closed),
    ),
    together=st.lists(selections(Group, each_guest=st.booleans()), max_size=2).map(tuple),
    apart=st.lists(selections(Group, each_guest=st.booleans()), max_size=2).map(tuple),
    exclude=st.lists(selections(Selection), max_size=1).map(tuple),
    pin=st.lists(selections(Pin, pools=st.just(("p1", "p[23]"))), max_size=1).map(tuple),
    closed=st.sampled_from(((), ("p4",))),
    reserve=st.integers(0, 5),
    overcommit=st.sampled_from((None, 1.0, 1.5)),
)


@given(found=fleets(), rules=POLICIES)
def test_no_evacuation_overfills_a_pool_or_breaks_a_rule_and_all_that_stays_has_a_reason(
    found: Fleet, rules: Policy
) -> None:
    emptied(found, rules)


@given(found=fleets(), rules=POLICIES, size=st.integers(1, 20), count=st.integers(1, 6), thin=st.booleans())
def test_no_place_is_proposed_that_has_no_room(found: Fleet, rules: Policy, size: int, count: int, thin: bool) -> None:
    places = place(found, rules, size * GiB, count=count, new=NewVolume(thin=thin))
    for one in found.pools:
        new = places.pools.count(one.name)
        limit = rules.overcommit(one.name)
        if new and limit is not None:
            assert one.promised + new * size * GiB <= limit * one.capacity
        if new and (limit is None or not thin):
            assert new * size * GiB <= one.available - rules.reserve(one.name)
        assert not (new and rules.affinity.is_closed(one.name))


@given(found=fleets(), rules=POLICIES)
def test_the_same_fleet_gives_the_same_plan(found: Fleet, rules: Policy) -> None:
    assert evacuate(found, rules, "old") == evacuate(found, rules, "old")
