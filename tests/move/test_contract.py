"""The fake world keeps the contract that the real lab keeps, so it can't drift from what a libvirt does."""

import pytest

from tests.contract.freeze import FreezeContract
from tests.contract.host import HostContract
from tests.contract.hypervisor import CopyContract, DomainContract, ExportContract, VolumeContract
from tests.contract.side import Side, fake_side


@pytest.fixture
def side() -> Side:
    return fake_side()


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
