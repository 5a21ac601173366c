"""What doctor gathers, in the fake world: what can't be looked at is told as that, and the rest goes on."""

from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HostError, HypervisorError, UnreachableError
from svmove.health import PoolFacts, Setup
from svmove.location import Secret, SecretState
from svmove.model import Pool
from svmove.move import examine
from svmove.policy import Policy
from tests.builders import NOW, pool, request
from tests.fake.host import FakeHost
from tests.fake.hypervisor import FakeHypervisor
from tests.fake.world import QEMU
from tests.move.stage import Stage

SETUP = Setup(qemu_user=(QEMU.uid, QEMU.gid))
CEPH = pool("vms", type="rbd", path=None, network="rbd://me@10.0.0.1/vms?secret-usage=ceph")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "vda")


def looked(stage: Stage, *found: Pool, asked: frozenset[str] = frozenset()) -> dict[str, PoolFacts]:
    hypervisor, host = FakeHypervisor(stage.world), FakeHost(stage.world)
    facts = examine.pools(hypervisor, host, SETUP, found or hypervisor.pools(), asked)
    return {one.pool.name: one for one in facts}


def fails(error: Exception) -> Any:
    def fail(*_arguments: object) -> None:
        raise error

    return fail


def test_of_a_pool_its_file_system_is_looked_at(stage: Stage) -> None:
    (slow,) = looked(stage, asked=frozenset({"slow"})).values()
    assert (slow.kind, slow.direct, slow.open, slow.silent) == ("xfs", True, True, None)
    assert slow.reflink is False
    assert looked(stage)["fast"].reflink is None  # there is no file to try it with


def test_a_pool_that_hangs_is_asked_nothing_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.world.hangs = True
    monkeypatch.setattr(FakeHost, "filesystem_kind", fails(AssertionError("it would hang")))
    assert {one.silent for one in looked(stage).values()} == {"no answer in 5 s"}


def test_a_pool_that_is_not_active_is_asked_for_its_secret_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHypervisor, "secret_state", lambda _self, _secret: SecretState.EMPTY)
    off = Pool(name="vms", type="rbd", active=False, path=None, network=CEPH.network)
    (found,) = looked(stage, off).values()
    assert found.secrets == {str(Secret(usage="ceph")): SecretState.EMPTY}
    assert found.silent is None


@pytest.mark.parametrize("error", [HypervisorError("no secret driver"), HostError("dd is not installed")])
def test_what_can_not_be_looked_into_says_why_and_others_are_looked_at(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(FakeHypervisor, "secret_state", fails(error))
    found = looked(stage, CEPH, pool("slow"))
    assert (found["vms"].silent, found["slow"].silent) == (str(error), None)


def test_a_libvirt_that_is_gone_ends_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHypervisor, "secret_state", fails(UnreachableError("gone")))
    with pytest.raises(UnreachableError):
        looked(stage, CEPH)


def test_a_move_that_nobody_took_up_is_told(stage: Stage) -> None:
    def moves() -> Any:
        hypervisor, host = FakeHypervisor(stage.world), FakeHost(stage.world)
        budgets = Policy().budgets
        return examine.moves(stage.journal, hypervisor, host, "/scratch", NOW, budgets)

    assert moves().left == ()
    outcome = stage.mover().begin(request())  # and nobody takes it up
    assert moves().left == (outcome.move,)


def test_a_host_that_can_not_be_looked_at_is_one_trouble(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(stage.world)
    assert examine.premises(host, SETUP, "/pools/slow").trouble is None
    monkeypatch.setattr(FakeHost, "free", fails(HostError("no such disk", remedy="look")))
    found = examine.premises(host, SETUP, "/pools/slow")
    assert found.trouble is not None
    assert (found.trouble.text, found.trouble.remedy) == ("no such disk", "look")
