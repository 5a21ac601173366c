"""How finely the dirty bitmap marks, by how the guest writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.model import Inventory, WriteRate
from svmove.moves import Level
from svmove.plan.granularity import COARSE, FINE, dirties, granularity_for
from svmove.plan.planner import make_plan
from svmove.policy import MirrorPolicy, Policy
from svmove.requests import Format, Method, Request
from svmove.units import GiB, KiB, MiB
from tests.builders import MOVE, NOW, disk, image, inventory, planned, request
from tests.plan.fires import BASE, CHAINED, VDA, Fires


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


def test_one_that_would_be_finer_than_the_least_is_left_to_qemu() -> None:
    writes = rate(2000, 24 * KiB)
    assert granularity_for(writes, 200 * MiB, 16 * KiB) == 16 * KiB
    assert granularity_for(writes, 200 * MiB, 32 * KiB) is None


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


RAW = "/pools/slow/web-vda.img"
_WRITES = {"vda": rate(5000, 4 * KiB)}
_RAW = inventory(
    disk(path=RAW, format="raw"),
    images={RAW: image(format="raw", cluster_bytes=None, compat=None)},
    writes=_WRITES,
)


@pytest.mark.parametrize(
    ("found", "asked", "expected"),
    [
        (inventory(writes=_WRITES), request(), 4 * KiB),
        (inventory(writes=_WRITES, images={VDA: image(cluster_bytes=2 * MiB)}), request(), 4 * KiB),
        (inventory(writes=_WRITES, images={VDA: image(cluster_bytes=128 * KiB, extended_l2=True)}), request(), None),
        (inventory(writes=_WRITES), request(format=Format.RAW), 4 * KiB),
        (_RAW, request(), 4 * KiB),
        (_RAW, request(format=Format.QCOW2), None),
        (inventory(CHAINED, writes=_WRITES, images={VDA: image(), BASE: image()}), request(flatten=True), 4 * KiB),
        (
            inventory(CHAINED, writes=_WRITES, images={VDA: image(), BASE: image(cluster_bytes=4 * KiB)}),
            request(flatten=True),
            None,
        ),
    ],
)
def test_it_is_not_finer_than_what_keeps_the_holes_of_a_qcow2(
    found: Inventory, asked: Request, expected: int | None
) -> None:
    (plan,) = planned(asked, found).disks
    assert plan.granularity == expected


def fine(granularity: int) -> Policy:
    return Policy(mirror=MirrorPolicy(granularity=granularity))


def test_the_policys_that_fills_holes_is_told_and_asks_for_the_room() -> None:
    asked = request(format=Format.QCOW2, method=Method.MIRROR)
    told = Fires(
        code="thinness", found=_RAW, asked=asked, policy=fine(4 * KiB), level=Level.WARN, target="vda", says="clusters"
    )
    told.holds()
    (need,) = planned(asked, _RAW, fine(4 * KiB)).needs
    assert need.size == 4 * GiB
    plan = planned(asked, _RAW, fine(64 * KiB))
    assert (plan.findings, plan.needs[0].size) == ((), GiB)
    large = inventory(images={VDA: image(cluster_bytes=128 * KiB, extended_l2=True)})
    assert planned(request(method=Method.MIRROR), large, fine(64 * KiB)).findings == ()  # as QEMU does by itself
