"""The contract of a hypervisor and its host, kept over SSH as it is on one's own host."""

from collections.abc import Iterator

import pytest

from tests.contract.freeze import FreezeContract
from tests.contract.host import HostContract
from tests.contract.hypervisor import CopyContract, ExportContract
from tests.contract.side import Side, real_side
from tests.real.world import World


@pytest.fixture
def side(world: World) -> Iterator[Side]:
    with real_side(world) as found:
        yield found


@pytest.mark.fault
class TestCopy(CopyContract):
    pass


@pytest.mark.fault
class TestExport(ExportContract):
    pass


@pytest.mark.fault
class TestFreeze(FreezeContract):
    pass


class TestHost(HostContract):
    pass
