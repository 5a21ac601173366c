"""A guest's writes held back, and its own limits put back, whoever died."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.model import Tuning, WriteRate
from svmove.move.throttle import InForce, limited, next_level, put_back
from svmove.policy import ConvergePolicy
from svmove.units import MiB
from tests.builders import UUID
from tests.fake import FakeHypervisor, World

_UNITS = ("bytes", "iops")


@st.composite
def tunings(draw: st.DrawFn) -> Tuning:
    """What QEMU takes: a total, or reads and writes; bursts above them."""
    limits: dict[str, int] = {}
    for unit in _UNITS:
        for what in draw(st.sampled_from([(), ("total",), ("read",), ("write",), ("read", "write")])):
            limits[f"{what}_{unit}_sec"] = draw(st.integers(1, 10**9))
            if draw(st.booleans()):
                limits[f"{what}_{unit}_sec_max"] = limits[f"{what}_{unit}_sec"] * 2
                limits[f"{what}_{unit}_sec_max_length"] = 5
    return Tuning(limits=limits)


@given(tunings(), st.integers(1, 10**6), st.integers(1, 10**9))
def test_the_writes_are_held_to_what_is_asked_within_what_the_guest_was_allowed(
    own: Tuning, iops: int, rate: int
) -> None:
    held = limited(own, iops, rate).limits
    for unit, most in (("bytes", rate), ("iops", iops)):
        read, write, total = (f"{what}_{unit}_sec" for what in ("read", "write", "total"))
        assert 0 < held[write] <= min(most, own.limits.get(write, most))
        assert total not in held  # QEMU takes no total beside them
        whole = own.limits.get(total, 0)
        if whole > 1:
            assert held[read] + held[write] <= whole
        else:
            assert whole or held.get(read) == own.limits.get(read)
        for name in held:
            if name.endswith("_max"):
                assert held[name] >= held[name.removesuffix("_max")]
    assert all(held.values())


@given(st.floats(1, 1e6), st.floats(1, 1e10))
def test_the_levels_fall_to_the_floor_and_end_there(requests: float, written: float) -> None:
    policy, writes = ConvergePolicy(), WriteRate(requests=requests, bytes=written)
    levels: list[tuple[int, int]] = []
    while (level := next_level(writes, len(levels) + 1, policy)) is not None:
        levels.append(level)
        assert len(levels) < 64
    assert all(iops >= policy.floor_iops and rate >= policy.floor_rate for iops, rate in levels)
    assert levels == sorted(levels, reverse=True)
    if levels:
        assert levels[-1] == (policy.floor_iops, policy.floor_rate)
    else:
        assert requests <= policy.floor_iops
        assert written <= policy.floor_rate


@pytest.mark.parametrize(
    ("now", "after"),
    [
        ({"write_iops_sec": 100}, {"total_iops_sec": 900}),  # ours
        ({"total_iops_sec": 900}, {"total_iops_sec": 900}),  # never changed
        ({"write_iops_sec": 77}, {"write_iops_sec": 77}),  # somebody else's
    ],
)
def test_only_what_is_svmoves_own_is_put_back(now: dict[str, int], after: dict[str, int]) -> None:
    world = World("vda")
    world.drives["vda"].limits = now
    held = InForce(
        target="vda",
        own=Tuning(limits={"total_iops_sec": 900}),
        ours=(Tuning(limits={"write_iops_sec": 200}), Tuning(limits={"write_iops_sec": 100})),
    )
    put_back(FakeHypervisor(world), UUID, held)
    assert world.drives["vda"].limits == after


def test_a_guest_that_is_off_needs_nothing_put_back(tmp_path: Path) -> None:
    world = World("vda")
    world.stop_guest()
    held = InForce(target="vda", own=Tuning(limits={}), ours=(Tuning(limits={"write_bytes_sec": MiB}),))
    assert "off" in put_back(FakeHypervisor(world), UUID, held)
