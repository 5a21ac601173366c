"""Who may begin: budgets are kept, the order too, and nobody waits for ever. Pure."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.budgets import Budgets, Place, PlaceKind, PoolPolicy, Priority, SlotsPolicy, Waits
from svmove.journal.queue import Queue, Ticket, grant

HOUR = 3600.0


def host(name: str = "one") -> Place:
    return Place(kind=PlaceKind.HOST, name=name)


def pool(name: str) -> Place:
    return Place(kind=PlaceKind.POOL, name=name)


def ticket(move: str, *places: Place, holds: bool = False, asked: float = 0.0, priority: str = "normal") -> Ticket:
    return Ticket(move=move, priority=Priority(priority), asked=asked, places=places, holds=holds)


def budgets(host: int = 2, pool: int = 8, **pools: int) -> Budgets:
    own = {name: PoolPolicy(slots=slots) for name, slots in pools.items()}
    return Budgets(slots=SlotsPolicy(host=host, pool=pool, ageing=HOUR), pools=own)


def test_of_three_on_a_host_two_begin_and_the_third_waits_for_it() -> None:
    queue = grant([ticket(move, host(), pool("a"), asked=float(n)) for n, move in enumerate("abc")], budgets())
    assert queue == Queue(
        granted=("a", "b"), waiting={"c": Waits(place=host(), position=1, first=True, watch=("a", "b"))}
    )


def test_a_pool_is_full_for_all_hosts() -> None:
    tickets = [ticket(f"m{n}", host(f"h{n}"), pool("a"), holds=True) for n in range(8)]
    queue = grant([*tickets, ticket("next", host("h9"), pool("a")), ticket("other", host("h9"), pool("b"))], budgets())
    assert queue.granted == ("other",)
    assert queue.waiting["next"].place == pool("a")


def test_source_and_destination_both_count() -> None:
    queue = grant(
        [ticket("a", pool("src"), pool("dst"), holds=True), ticket("b", pool("x"), pool("dst"))],
        budgets(src=1, dst=1),
    )
    assert str(queue.waiting["b"]) == "waits for a slot of pool dst (position 1)"


@pytest.mark.parametrize(
    ("waited", "first"), [(0.0, "high"), (0.9 * HOUR, "high"), (1.1 * HOUR, "normal"), (5 * HOUR, "normal")]
)
def test_a_higher_priority_comes_first_unless_the_other_has_waited_for_long(waited: float, first: str) -> None:
    there = ticket("runs", host(), holds=True)
    normal, high = ticket("normal", host()), ticket("high", host(), asked=waited, priority="high")
    low = ticket("low", host(), priority="low", asked=-0.5 * HOUR)
    queue = grant([there, low, normal, high], budgets(host=1))
    assert next(iter(queue.waiting)) == first
    assert list(queue.waiting).index("low") > list(queue.waiting).index("normal")


def test_one_that_needs_two_pools_is_not_overtaken_where_one_of_them_has_room() -> None:
    """Each time that a slot of `b` is free, `wide` has not got `a` yet, and so would wait for ever."""
    tickets = [
        ticket("runs-a", pool("a"), holds=True),
        ticket("wide", pool("a"), pool("b"), asked=1.0),
        ticket("narrow", pool("b"), asked=2.0),
    ]
    queue = grant(tickets, budgets(a=1, b=1))
    assert queue.granted == ()
    assert queue.waiting["narrow"] == Waits(place=pool("b"), position=2, first=False, watch=("wide",))
    assert grant(tickets[1:], budgets(a=1, b=1)).granted == ("wide",)


def test_a_queue_at_one_host_does_not_block_the_pools_of_the_others() -> None:
    """Of the 18 that wait for the host only the next one keeps a slot of the pool."""
    here = [ticket(f"h{n}", host("busy"), pool("a"), holds=n < 2, asked=float(n)) for n in range(20)]
    there = [ticket(f"t{n}", host(f"free-{n}"), pool("a"), asked=100.0 + n) for n in range(8)]
    queue = grant([*here, *there], budgets())
    assert queue.granted == ("t0", "t1", "t2", "t3", "t4")


def test_one_that_may_not_wait_goes_over_the_budget_and_the_others_wait_for_it() -> None:
    tickets = [ticket(f"m{n}", host(), holds=True) for n in range(3)]
    assert grant([*tickets, ticket("next", host())], budgets()).granted == ()
    assert grant([*tickets[1:], ticket("next", host())], budgets()).granted == ()
    assert grant([*tickets[2:], ticket("next", host())], budgets()).granted == ("next",)


NAMES = st.sampled_from("abc")
TICKETS = st.lists(
    st.builds(
        lambda hosts, pools, holds, asked, priority: (hosts, pools, holds, asked, priority),
        NAMES,
        st.sets(NAMES, min_size=1, max_size=3),
        st.booleans(),
        st.integers(0, 4 * int(HOUR)),
        st.sampled_from(Priority),
    ),
    max_size=14,
).map(
    lambda drawn: [
        Ticket(
            move=f"m{number}",
            priority=priority,
            asked=float(asked),
            places=(host(on), *(pool(name) for name in sorted(pools))),
            holds=holds,
        )
        for number, (on, pools, holds, asked, priority) in enumerate(drawn)
    ]
)
BUDGETS = st.builds(lambda host, a, b, c: budgets(host, 8, a=a, b=b, c=c), *[st.integers(1, 4)] * 4)


def order(one: Ticket) -> tuple[float, str]:
    return one.asked - {Priority.HIGH: HOUR, Priority.NORMAL: 0.0, Priority.LOW: -HOUR}[one.priority], one.move


def used(tickets: list[Ticket], granted: tuple[str, ...], place: Place) -> int:
    return sum((one.holds or one.move in granted) and place in one.places for one in tickets)


@given(TICKETS, BUDGETS)
def test_no_budget_is_exceeded_by_one_that_begins(tickets: list[Ticket], given_: Budgets) -> None:
    queue = grant(tickets, given_)
    for one in tickets:
        if one.move in queue.granted:
            assert all(used(tickets, queue.granted, place) <= given_.limit(place) for place in one.places)


@given(TICKETS, BUDGETS)
def test_every_ticket_either_holds_or_begins_or_waits_for_something_full(
    tickets: list[Ticket], given_: Budgets
) -> None:
    queue = grant(tickets, given_)
    assert {one.move for one in tickets if not one.holds} == set(queue.granted) | set(queue.waiting)
    assert not set(queue.granted) & set(queue.waiting)
    for one in tickets:
        if one.move in queue.waiting:
            waits = queue.waiting[one.move]
            assert waits.place in one.places
            assert waits.position >= 1
            assert waits.watch, "somebody's end must let it go on"
            assert one.move not in waits.watch


@given(TICKETS, BUDGETS)
def test_the_first_in_order_begins_if_there_is_room(tickets: list[Ticket], given_: Budgets) -> None:
    queue = grant(tickets, given_)
    if (first := min((one for one in tickets if not one.holds), key=order, default=None)) is not None:
        room = all(used(tickets, (), place) < given_.limit(place) for place in first.places)
        assert (first.move in queue.granted) == room
        if not room:
            assert queue.waiting[first.move].first
            # What it needs beside what is full is kept for it.
            for place in first.places:
                had = used(tickets, (), place)
                assert had >= given_.limit(place) or used(tickets, queue.granted, place) < given_.limit(place)


@given(TICKETS, BUDGETS)
def test_of_two_that_need_the_same_the_earlier_goes_first(tickets: list[Ticket], given_: Budgets) -> None:
    queue = grant(tickets, given_)
    for later in (one for one in tickets if one.move in queue.granted):
        for earlier in (one for one in tickets if one.move in queue.waiting):
            assert not (set(earlier.places) == set(later.places) and order(earlier) < order(later))


@given(TICKETS, BUDGETS)
def test_who_begins_does_not_depend_on_who_asks(tickets: list[Ticket], given_: Budgets) -> None:
    """Each process decides for itself, one after the other."""
    queue, rest = grant(tickets, given_), list(tickets)
    for move in reversed(queue.granted):
        assert move in grant(rest, given_).granted
        rest = [one if one.move != move else ticket(move, *one.places, holds=True) for one in rest]
    assert set(grant(rest, given_).waiting) == set(queue.waiting)


@given(TICKETS, BUDGETS, st.randoms(use_true_random=False))
def test_nobody_waits_for_ever_whatever_comes_later(
    tickets: list[Ticket], given_: Budgets, chance: random.Random
) -> None:
    """New tickets of the highest priority come all the time; each move that holds its slots ends some time."""
    waiting = {one.move for one in tickets if not one.holds}
    now = 5 * HOUR
    there = {one.move: one for one in tickets}
    since = dict.fromkeys(there, 0)
    for step in range(400):
        if not waiting & {move for move, one in there.items() if not one.holds}:
            return
        now += HOUR / 20
        places = (host(chance.choice("abc")), *(pool(name) for name in chance.sample("abc", chance.randint(1, 3))))
        there[f"new{step}"] = Ticket(move=f"new{step}", priority=Priority.HIGH, asked=now, places=places, holds=False)
        for move in grant(there.values(), given_).granted:
            one = there[move]
            there[move] = Ticket(move=move, priority=one.priority, asked=one.asked, places=one.places, holds=True)
            since[move] = step
        for move, one in list(there.items()):
            if one.holds and (step - since.get(move, 0) >= 5 or chance.random() < 0.3):
                del there[move]
    raise AssertionError(f"still waiting: {waiting & set(there)}")
