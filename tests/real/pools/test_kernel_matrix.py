"""As `test_matrix`, between places that need a kernel of their own, and from and to all that don't."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext

import pytest

from tests.real import world as worlds
from tests.real.pools.kernel import GIVEN, KERNEL_KINDS, LOCKED_KINDS, OTHERS, Makers
from tests.real.pools.kinds import HOME, KINDS
from tests.real.pools.test_matrix import Places, all_of, every_pair
from tests.real.pools.test_round_trips import there_and_back
from tests.real.world import World


@pytest.mark.kernel
@pytest.mark.chosen
@pytest.mark.parametrize("kind", ["nfs", "logical", "logical-thin"])
def test_a_disk_goes_there_and_comes_back(guest: World, kind: str) -> None:
    with KINDS[HOME](guest) as at_home, KERNEL_KINDS[kind](guest) as place:
        there_and_back(guest, at_home, place)


WALKS: Mapping[str, Makers] = {
    **{name: {**{kind: KINDS[kind] for kind in others}, **KERNEL_KINDS} for name, others in OTHERS.items()},
    "there and back": {HOME: KINDS[HOME], **LOCKED_KINDS},
}


def pairs() -> Iterator[tuple[str, str, str]]:
    """A walk's name, from where, to where. Pairs of which neither needs such a kernel are `test_matrix`'s; those of
    which both do are in the first walk."""
    apart = [set(KINDS)]
    for name, kinds in WALKS.items():
        for before, after in itertools.pairwise(every_pair(list(kinds), apart)):
            yield name, before, after
        apart = [set(KINDS), set(KERNEL_KINDS)]


PAIRS = list(pairs())


class Walks:
    """The places of one walk at a time, with their servers up."""

    def __init__(self, lab_place: worlds.Place) -> None:
        self._lab_place = lab_place
        self._open = ExitStack()
        self._at: tuple[str, Places] | None = None

    def on(self, name: str) -> Places:
        if self._at is None or self._at[0] != name:
            self.close()
            made = all_of(WALKS[name], self._lab_place, GIVEN.get(name, nullcontext))
            self._at = name, self._open.enter_context(made)
        return self._at[1]

    def close(self) -> None:
        self._at = None
        self._open.close()


@pytest.fixture(scope="module")
def walks(lab_place: worlds.Place) -> Iterator[Walks]:
    with closing(Walks(lab_place)) as found:
        yield found


@pytest.mark.kernel
@pytest.mark.parametrize(("walk", "before", "after"), PAIRS)
def test_a_disk_goes_to_and_from_places_that_need_a_kernel_of_their_own(
    world: World, walks: Walks, walk: str, before: str, after: str
) -> None:
    places = walks.on(walk)
    places.go(world, places.bring(world, before), after)


@pytest.mark.chosen
def test_no_pair_is_left_out() -> None:
    every = {*KINDS, *KERNEL_KINDS}
    walked = {(before, after) for _, before, after in PAIRS}
    assert walked >= {(a, b) for a in every for b in every if a != b and not {a, b} <= set(KINDS)}
    assert len(walked) == len(PAIRS)
