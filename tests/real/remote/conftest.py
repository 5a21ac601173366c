"""The lab as another host: reached by SSH, and only so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from svmove.policy import Policy
from svmove.reach import reach
from tests.real.remote.sshd import Server, sshd
from tests.real.world import World


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    with sshd(world.lab, world.folder / "sshd") as found:
        yield found


@pytest.fixture
def far(world: World, server: Server) -> Iterator[World]:
    """The same guests and pools; what svmove does with them goes over SSH."""
    reached = reach(server.uri(), Policy())
    near = world.hypervisor, world.host, world.cli.uri
    world.hypervisor, world.host, world.cli.uri = reached.hypervisor, reached.host, server.uri()
    world.scratch = reached.scratch
    yield world
    world.cli.end()
    reached.hypervisor.close()
    world.hypervisor, world.host, world.cli.uri = near


@pytest.fixture
def far_guest(far: World) -> Iterator[World]:
    """As `guest`."""
    far.together()
    yield far
    far.lab.check()
    assert far.domain().marker is None


@pytest.fixture
def scratch(far: World) -> Path:
    return Path(far.cli.scratch)
