"""How finely the dirty bitmap marks, by how the guest writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.model import WriteRate
from svmove.plan.granularity import COARSE, FINE, dirties, granularity_for
from svmove.plan.planner import make_plan
from svmove.policy import MirrorPolicy, Policy
from svmove.units import KiB, MiB
from tests.builders import MOVE, NOW, inventory, request


def rate(requests: float, size: int) -> WriteRate:
    return WriteRate(requests=requests, bytes=requests * size)


@pytest.mark.parametrize(
    ("writes", "copy_rate", "expected"),
    [
        (None, 200 * MiB, None),
        (rate(0, 0), 200 * MiB, None),
        (rate(50, 4 * KiB), 200 * MiB, None),
        (rate(50, 4 * KiB), 4 * MiB, 4 * KiB),
        (rate(2000, 4 * KiB), 200 * MiB, 4 * KiB),
        (rate(2000, 512), 200 * MiB, 4 * KiB),
        (rate(2000, 24 * KiB), 200 * MiB, 16 * KiB),
        (rate(500, MiB), 200 * MiB, None),
    ],
)
def test_the_granularity_is_what_a_mean_write_fills_where_it_matters(
    writes: WriteRate | None, copy_rate: float, expected: int | None
) -> None:
    assert granularity_for(writes, copy_rate) == expected


@given(st.floats(0, 1e6), st.integers(0, 16 * MiB), st.floats(1, 1e10))
def test_it_is_a_power_of_two_never_coarser_than_qemus_own_and_never_dirties_more(
    requests: float, size: int, copy_rate: float
) -> None:
    writes = rate(requests, size)
    found = granularity_for(writes, copy_rate)
    if found is not None:
        assert FINE <= found < COARSE
        assert found & (found - 1) == 0
        assert dirties(writes, found) <= dirties(writes, COARSE)


def test_each_disk_has_that_of_its_own_writes_and_the_policys_comes_before() -> None:
    writing = inventory(writes={"vda": rate(5000, 4 * KiB)})
    chosen = make_plan(request(), writing, Policy(), move=MOVE, now=NOW)
    assert [disk.granularity for disk in chosen.disks] == [4 * KiB]
    given_ = make_plan(request(), writing, Policy(mirror=MirrorPolicy(granularity=MiB)), move=MOVE, now=NOW)
    assert (given_.granularity, [disk.granularity for disk in given_.disks]) == (MiB, [None])
