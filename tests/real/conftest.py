"""One lab for the session, in a folder of its own: a lab that a person has up is not touched.

With SVMOVE_TEST_SSH=1 it is another host, in a network of its own, and svmove reaches it by SSH alone. What is marked
`here` is about svmove on the hypervisor's own host, and is left out then.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from svmove.lab import Lab
from svmove.lab.command import run
from tests.real.network import SSH, network
from tests.real.sshd import sshd
from tests.real.world import GUEST, Place, World, passable


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/real" in str(item.path):
            item.add_marker(pytest.mark.real)
    left_out = [item for item in items if SSH and item.get_closest_marker("here")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@contextmanager
def another_host() -> Iterator[Place]:
    with ExitStack() as stack:
        folder = passable(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp"))))
        cable = stack.enter_context(network())
        lab = Lab.open(folder / "lab")
        lab.fetch()
        stack.callback(lab.down, keep_cache=True)
        run([*cable.enter, Path(sys.executable).with_name("svmove"), "lab", "up", "--dir", lab.paths.root])
        yield Place(lab=lab, server=stack.enter_context(sshd(lab, cable, folder / "sshd")))


@pytest.fixture(scope="session")
def lab_place() -> Iterator[Place]:
    if SSH:
        with another_host() as there:
            yield there
        return
    if kept := os.environ.get("SVMOVE_TEST_LAB"):  # a developer's own, which stays up: 20 s less
        found = Lab.open(Path(kept))
        found.up()
        yield Place(lab=found)
        return
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder:
        found = Lab.open(passable(Path(folder)) / "lab")
        try:
            found.up()
            yield Place(lab=found)
        finally:
            found.down(keep_cache=True)


@contextmanager
def clean(place: Place) -> Iterator[World]:
    """Ends the small guests that the test made, and takes away the files that it left in the pools."""
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder:
        made = World(place, passable(Path(folder)))
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
            for left in made.cli.scratch.glob("*"):
                shutil.rmtree(left)
            for pool in ("lab-a", "lab-b"):
                made.virsh("pool-refresh", pool)
            made.hypervisor.close()


@pytest.fixture
def world(lab_place: Place) -> Iterator[World]:
    with clean(lab_place) as made:
        yield made


@pytest.fixture
def guest(world: World) -> Iterator[World]:
    """The world with its writing guest, both disks in one pool; all that it wrote is well after the test."""
    world.together()
    yield world
    world.lab.check()
    assert world.domain().marker is None
