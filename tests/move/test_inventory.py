"""What the guest writes, looked at before a plan is made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.model import WriteRate
from svmove.move.inventory import gather
from svmove.policy import Policy
from svmove.units import KiB, MiB
from tests.builders import request
from tests.fake import FakeClock, FakeHost, FakeHypervisor
from tests.move.stage import Stage


def sampled(stage: Stage, bandwidth: int | None = None) -> WriteRate:
    args = (FakeHypervisor(stage.world), FakeHost(stage.world), stage.journal, "/scratch")
    asked = request(bandwidth=bandwidth)
    return gather(asked, *args, clock=FakeClock(stage.world), policy=Policy()).writes["vda"]


def takes(stage: Stage, seconds: float, requests: int) -> Callable[[], None]:
    """The looks at the pools take a while, in which the guest writes."""

    def look() -> None:
        stage.world.time += seconds
        for drive in stage.world.drives.values():
            drive.requests += requests

    return look


def test_an_idle_guest_costs_no_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["volume_at"] = takes(stage, 0.1, 0)
    assert sampled(stage) == WriteRate(requests=0.0, bytes=0.0)
    assert stage.world.time == pytest.approx(0.1)


def test_a_guest_that_writes_little_is_looked_at_for_no_longer_than_the_rest_takes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["volume_at"] = takes(stage, 0.1, 5)
    assert sampled(stage).requests == pytest.approx(50)
    assert stage.world.time == pytest.approx(0.1)


def test_a_guest_that_writes_much_is_looked_at_for_the_policys_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["volume_at"] = takes(stage, 0.1, 500)
    rate = sampled(stage)
    assert stage.world.time == pytest.approx(1.0)
    assert rate.requests == pytest.approx(501)  # none but one while it waited
    assert rate.bytes == rate.requests * 4 * KiB


def test_before_a_limited_copy_also_a_guest_that_writes_little_is_looked_at(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    sampled(stage, bandwidth=100 * MiB)
    assert stage.world.time == pytest.approx(0.2)
