"""As `test_matrix`, between places that need a kernel of their own, and some that don't."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from svmove.lab import Lab
from tests.real.pools.kernel import KERNEL_KINDS
from tests.real.pools.kinds import HOME, KINDS
from tests.real.pools.places import home
from tests.real.pools.test_matrix import Places, every_pair
from tests.real.pools.test_round_trips import there_and_back
from tests.real.world import World, passable

pytestmark = pytest.mark.kernel


@pytest.mark.chosen
@pytest.mark.parametrize("kind", ["nfs", "logical", "logical-thin"])
def test_a_disk_goes_there_and_comes_back(guest: World, kind: str) -> None:
    with KERNEL_KINDS[HOME](guest) as at_home, KERNEL_KINDS[kind](guest) as place:
        there_and_back(guest, at_home, place)


@pytest.fixture(scope="module")
def places(lab: Lab) -> Iterator[Places]:
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder, ExitStack() as stack:
        world = World(lab, passable(Path(folder)))
        stack.callback(world.hypervisor.close)
        found = Places({name: stack.enter_context(make(world)) for name, make in KERNEL_KINDS.items()})
        stack.callback(home, world, "vdb")  # before its servers end
        yield found


# Pairs of which neither needs such a kernel are `test_matrix`'s.
PAIRS = [pair for pair in itertools.pairwise(every_pair(list(KERNEL_KINDS))) if not KINDS.keys() >= set(pair)]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_disk_goes_to_and_from_places_that_need_a_kernel_of_their_own(
    world: World, places: Places, before: str, after: str
) -> None:
    places.go(world, places.bring(world, before), after)
    world.lab.check()
    assert world.domain().marker is None
