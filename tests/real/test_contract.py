"""The contract that the fake world is held to, kept by a real libvirt, a real QEMU, and this host."""

from collections.abc import Iterator

import pytest

from tests.contract.freeze import FreezeContract
from tests.contract.host import HostContract
from tests.contract.hypervisor import CopyContract, DomainContract, ExportContract, VolumeContract
from tests.contract.side import Side, real_side
from tests.real.world import World


@pytest.fixture
def side(world: World) -> Iterator[Side]:
    with real_side(world) as found:
        yield found


class TestDomain(DomainContract):
    pass


class TestVolume(VolumeContract):
    pass


class TestCopy(CopyContract):
    pass


class TestExport(ExportContract):
    pass


class TestFreeze(FreezeContract):
    pass


class TestHost(HostContract):
    pass
