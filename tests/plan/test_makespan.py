"""How long an evacuation takes, with the slots and the bandwidth that the policy gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.budgets import Budgets, PoolPolicy, SlotsPolicy
from svmove.plan.makespan import makespan
from svmove.proposals import Proposal, Why
from svmove.units import MiB

WIDE = Budgets(slots=SlotsPolicy(host=99, pool=99))


def move(guest: str, seconds: float, to: str = "a", *, round_: int = 1, size: int = MiB) -> Proposal:
    return Proposal(
        guest=guest,
        uuid=guest,
        target="vda",
        pool_from="old",
        pool_to=to,
        copy_bytes=size,
        seconds=seconds,
        load=0.0,
        round=round_,
        why=Why.EVACUATE,
    )


FOUR = [move("1", 10.0), move("2", 10.0), move("3", 10.0, "b"), move("4", 10.0, "b")]


@pytest.mark.parametrize(
    ("moves", "at_once", "budgets", "seconds"),
    [
        ([], 2, WIDE, 0.0),
        (FOUR, 1, WIDE, 40.0),
        (FOUR, 2, WIDE, 20.0),
        (FOUR, 9, WIDE, 10.0),
        # So many guests were asked for, and the host has fewer slots.
        (FOUR, 9, Budgets(slots=SlotsPolicy(host=2, pool=99)), 20.0),
        (FOUR, 9, Budgets(slots=SlotsPolicy(host=99, pool=1)), 40.0),
        # The source has all of them; of the destinations one lets one in at a time.
        (FOUR, 9, Budgets(slots=SlotsPolicy(host=99, pool=99), pools={"a": PoolPolicy(slots=1)}), 20.0),
        # Four MiB come out of the source, which gives 100 KiB/s to all of them together.
        (FOUR, 9, Budgets(slots=SlotsPolicy(host=99), pools={"old": PoolPolicy(bandwidth=MiB // 10)}), 40.0),
        # The longest first, the others beside it.
        ([move("1", 30.0), move("2", 10.0), move("3", 10.0), move("4", 10.0)], 2, WIDE, 30.0),
        # A round begins when the one before has ended; one guest's disks are one move.
        ([move("1", 10.0), move("2", 5.0, round_=2)], 2, WIDE, 15.0),
        ([move("1", 10.0), move("1", 5.0)], 2, WIDE, 15.0),
    ],
)
def test_it_is_as_long_as_the_queue_makes_it(
    moves: list[Proposal], at_once: int, budgets: Budgets, seconds: float
) -> None:
    assert makespan(moves, at_once, budgets) == pytest.approx(seconds, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0.1, 100.0), st.sampled_from("ab"), st.integers(1, 3)), max_size=12),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_it_is_never_shorter_than_the_longest_nor_longer_than_one_after_the_other(
    found: list[tuple[float, str, int]], at_once: int, host: int, pool: int
) -> None:
    moves = [move(str(n), seconds, to, round_=round_) for n, (seconds, to, round_) in enumerate(found)]
    took = makespan(moves, at_once, Budgets(slots=SlotsPolicy(host=host, pool=pool)))
    alone = sum(one.seconds for one in moves)
    lanes = min(at_once, host, pool)
    assert max([0.0, *(one.seconds for one in moves)]) - 1e-6 <= took <= alone + 1e-6
    assert took >= alone / lanes - 1e-6
