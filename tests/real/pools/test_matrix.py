"""Between any two kinds of place: the writing guest's disk goes there live, every byte is compared, and what the plan
said that it would lose is what it lost."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from svmove.lab.errors import LabError
from tests.real import world as worlds
from tests.real.network import SSH
from tests.real.pools.kinds import HOME, KINDS, Place, forget, goes, size
from tests.real.pools.places import home, thin
from tests.real.world import World, passable

# The walk is cut in two, for two labs side by side: each walks on from where it is (pytest -n 2 --dist loadgroup).
LABS = 2


def every_pair(kinds: Sequence[str], apart: Sequence[Set[str]] = ()) -> list[str]:
    """A walk that begins and ends at the first of the kinds, and goes from each to each other one once, but never
    between two of one set of `apart`."""

    def meet(one: str, other: str) -> bool:
        return one != other and not any({one, other} <= kinds for kinds in apart)

    left = {kind: [other for other in kinds if meet(kind, other)] for kind in kinds}
    walk, path = list[str](), [kinds[0]]
    while path:  # Hierholzer
        if left[path[-1]]:
            path.append(left[path[-1]].pop())
        else:
            walk.append(path.pop())
    return walk[::-1]


def each_once(kinds: Sequence[str]) -> list[str]:
    """Into each and out of it, once."""
    return [*kinds, kinds[0]]


def walked(pairs: Sequence[tuple[str, str]]) -> list[Any]:
    return [
        pytest.param(*pair, marks=pytest.mark.xdist_group(f"walk {number * LABS // len(pairs)}"))
        for number, pair in enumerate(pairs)
    ]


@dataclass
class Places:
    """All of them, with their servers up, and where the disk is: None when a move has failed."""

    places: Mapping[str, Place]
    now: str | None = None
    dense: bool = field(default=False)  # all of it is allocated

    def bring(self, world: World, kind: str) -> Place:
        """To where a move is to begin; a disk that came from where nothing tells of holes gets its holes back."""
        place = self.places[kind]
        if self.now != kind or (self.dense and place.thin):
            home(world, "vdb")
            thin(world, "vdb")
            self._tidy(world)
            self.now, self.dense = HOME, False
            if kind != HOME:
                self.go(world, Place(kind="home", disk=""), kind)
        return place

    def _tidy(self, world: World) -> None:
        """What a move that failed has left, or virsh, which took the disk home."""
        with suppress(LabError):
            forget(world)
        for place in self.places.values():
            if place.volume is not None and world.path("vdb").name != place.volume[1]:
                with suppress(LabError):
                    # On NFS libvirt deletes as the file's owner, by what it knows: QEMU's, until it looks again.
                    world.virsh("pool-refresh", place.volume[0])
                    world.virsh("vol-delete", place.volume[1], "--pool", place.volume[0])

    def go(self, world: World, before: Place, kind: str) -> None:
        self.now = None
        row = goes(world, before, self.places[kind])
        self.now, self.dense = kind, row.after >= size(world) * 0.9


Kinds = Mapping[str, Callable[[World], AbstractContextManager[Place]]]
Given = Callable[[World], AbstractContextManager[object]]


@contextmanager
def all_of(kinds: Kinds, place: worlds.Place, given: Given = nullcontext) -> Iterator[Places]:
    """`given`: what is so of the guest meanwhile."""
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder, ExitStack() as stack:
        world = World(place, passable(Path(folder)))
        stack.callback(world.hypervisor.close)
        stack.enter_context(given(world))
        found = Places({name: stack.enter_context(make(world)) for name, make in kinds.items()})
        stack.callback(home, world, "vdb")  # before its servers end
        yield found


@pytest.fixture(scope="module")
def places(lab_place: worlds.Place) -> Iterator[Places]:
    with all_of(KINDS, lab_place) as found:
        yield found


# What SSH changes is how svmove gets at a place, whatever the other one is.
WALK = (each_once if SSH else every_pair)(list(KINDS))


@pytest.mark.parametrize(("before", "after"), walked(list(itertools.pairwise(WALK))))
def test_a_disk_goes_from_any_kind_of_place_to_any_other_one(
    world: World, places: Places, before: str, after: str
) -> None:
    places.go(world, places.bring(world, before), after)
