"""One lab for the session, in a folder of its own: a lab that a person has up is not touched."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from svmove.lab import Lab
from tests.real.world import GUEST, World, passable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/real" in str(item.path):
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    if kept := os.environ.get("SVMOVE_TEST_LAB"):  # a developer's own, which stays up: 20 s less
        found = Lab.open(Path(kept))
        found.up()
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder:
        found = Lab.open(passable(Path(folder)) / "lab")
        try:
            found.up()
            yield found
        finally:
            found.down(keep_cache=True)


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    """Ends the small guests that the test made, and takes away the files that it left in the pools."""
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder:
        made = World(lab, passable(Path(folder)))
        try:
            yield made
        finally:
            made.cli.end()
            made.tidy()
            for name in made.virsh.names("list", "--all"):
                if name != GUEST:
                    if made.virsh("domstate", name) != "shut off":
                        made.virsh("destroy", name)
                    made.virsh("undefine", name, "--snapshots-metadata", "--checkpoints-metadata", "--nvram")
            needed = {made.path(disk.target) for disk in made.domain().live}
            for path in made.files() - needed:
                path.unlink()
            for pool in ("lab-a", "lab-b"):
                made.virsh("pool-refresh", pool)
            made.hypervisor.close()


@pytest.fixture
def guest(world: World) -> Iterator[World]:
    """The world with its writing guest, both disks in one pool; all that it wrote is well after the test."""
    world.together()
    yield world
    world.lab.check()
    assert world.domain().marker is None
