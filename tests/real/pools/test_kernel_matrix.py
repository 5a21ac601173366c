"""As `test_matrix`, between places that need a kernel of their own, and some that don't."""

import itertools
from collections.abc import Iterator

import pytest

from tests.real import world as worlds
from tests.real.pools.kernel import KERNEL_KINDS, LOCKED_KINDS
from tests.real.pools.kinds import HOME, KINDS
from tests.real.pools.test_matrix import Places, all_of, every_pair
from tests.real.pools.test_round_trips import there_and_back
from tests.real.world import World

pytestmark = pytest.mark.kernel


@pytest.mark.chosen
@pytest.mark.parametrize("kind", ["nfs", "logical", "logical-thin"])
def test_a_disk_goes_there_and_comes_back(guest: World, kind: str) -> None:
    with KERNEL_KINDS[HOME](guest) as at_home, KERNEL_KINDS[kind](guest) as place:
        there_and_back(guest, at_home, place)


@pytest.fixture(scope="module")
def places(lab_place: worlds.Place) -> Iterator[Places]:
    with all_of({**KERNEL_KINDS, **LOCKED_KINDS}, lab_place) as found:
        yield found


# Pairs of which neither needs such a kernel are `test_matrix`'s.
PAIRS = list(itertools.pairwise(every_pair(list(KERNEL_KINDS), elsewhere=KINDS)))
PAIRS += [pair for kind in LOCKED_KINDS for pair in ((HOME, kind), (kind, HOME))]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_disk_goes_to_and_from_places_that_need_a_kernel_of_their_own(
    world: World, places: Places, before: str, after: str
) -> None:
    places.go(world, places.bring(world, before), after)
    world.lab.check()
    assert world.domain().marker is None
