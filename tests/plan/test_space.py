"""How much room is asked for, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from svmove.budgets import PoolPolicy
from svmove.model import CopyWay, Inventory, WriteRate
from svmove.moves import Level
from svmove.policy import MovePolicy, Policy, SpacePolicy
from svmove.requests import Allocation, DiskRequest, Format, Method, Request, Verify
from svmove.units import GiB, MiB
from tests.builders import disk, domain, image, inventory, planned, pool, request
from tests.plan.fires import BASE, CHAINED, OFF, OFF_CHAINED, VDA, Fires, chained, codes, images, named

FIRES = [
    Fires(code="no-space", found=inventory(pools=(pool(available=GiB + 256 * MiB - 1), pool("slow"))), says="1.0 GiB"),
    Fires(
        code="no-space",
        found=chained(pools=(pool(available=2 * GiB), pool("slow"))),
        asked=request(flatten=True),
        says="needed are 2.0 GiB",
    ),
    Fires(
        code="overcommitted",
        found=replace(inventory(), promised={"fast": 200 * GiB}),
        policy=Policy(space=SpacePolicy(overcommit=2.0)),
        says="at most 200.0 GiB are allowed (2 times its capacity)",
    ),
    Fires(code="not-verified", asked=request(verify=Verify.NONE), level=Level.WARN, says="deleted"),
    Fires(
        code="not-verified", asked=request(verify=Verify.NONE, keep_source=True), level=Level.WARN, says="not compared"
    ),
    Fires(code="no-access", found=inventory(shut=frozenset({"/root/journal"})), says="/root/journal"),
    Fires(code="no-scratch", found=inventory(scratch_free=GiB - 1), says="paths.scratch"),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("no-space", request(), inventory(pools=(pool(available=GiB + 256 * MiB), pool("slow")))),
    ("no-space", request(to="slow"), inventory(pools=(pool(), pool("slow", available=0)))),
    ("no-access", request(verify=Verify.NONE), inventory(shut=frozenset({"/root/journal"}))),
    ("no-scratch", request(), inventory(scratch_free=GiB)),
    ("no-scratch", request(verify=Verify.NONE), inventory(scratch_free=0)),
    ("no-scratch", request(to="slow"), inventory(scratch_free=0)),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)


@pytest.mark.parametrize(
    ("overcommit", "pools", "promised"),
    [
        (2.0, {}, 100 * GiB),
        (None, {}, 900 * GiB),
        (1.0, {"fast": PoolPolicy(overcommit=9.0)}, 800 * GiB),
        (1.0, {"slow": PoolPolicy(overcommit=0.1)}, 10 * GiB),
    ],
)
def test_a_pool_may_be_promised_what_the_policy_allows(
    overcommit: float | None, pools: Mapping[str, PoolPolicy], promised: int
) -> None:
    policy = Policy(space=SpacePolicy(overcommit=overcommit), pools=pools)
    assert planned(request(), replace(inventory(), promised={"fast": promised}), policy).findings == ()


def test_the_space_of_all_disks_in_a_pool_counts_together() -> None:
    two = replace(inventory(disk(), disk("vdb")), pools=(pool(available=2 * GiB), pool("slow")))
    assert [one.code for one in planned(request(), two).findings] == ["no-space"]


def test_pools_on_one_file_system_count_once_together() -> None:
    small = (pool(available=2 * GiB), pool("slow"), pool("third", available=2 * GiB))
    two = inventory(disk(), disk("vdb"), pools=small)
    asked = named(DiskRequest(target="vda"), DiskRequest(target="vdb", pool="third"))
    assert planned(asked, two).findings == ()
    shared = replace(two, filesystems={"fast": "fs-1", "third": "fs-1", "slow": "fs-2"})
    (finding,) = planned(asked, shared).findings
    assert (finding.code, finding.text.startswith("pools fast and third share")) == ("no-space", True)
    apart = replace(two, filesystems={"fast": "fs-1", "third": "fs-2"})
    assert planned(asked, apart).findings == ()


# Copies that share the source's extents

REFLINK = {"vda": CopyWay.REFLINK, "vda:1": CopyWay.REFLINK}
SNAPSHOT, AT_REST = {"method": Method.SNAPSHOT}, {"domain": OFF}
LITTLE = 256 * MiB + GiB // 64 + 1 * MiB  # the reserve, and the maps of 1 GiB


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What must be free at the destination for a disk with 1 GiB allocated."""

    needed: int
    found: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)


SHARES = {
    "snapshot": Shares(needed=LITTLE, asked=SNAPSHOT),
    "offline": Shares(needed=LITTLE, found=AT_REST),
    "mirror": Shares(needed=GiB + 256 * MiB, asked={"method": Method.MIRROR}),
    "another format": Shares(needed=GiB + 256 * MiB, found=AT_REST, asked={"format": Format.RAW}),
    "another way": Shares(needed=GiB + 256 * MiB, found={**AT_REST, "offloads": {"vda": CopyWay.COPY_RANGE}}),
    # The guest would unshare it by and by, up to all of it.
    "a source that is kept": Shares(needed=GiB + 256 * MiB, found=AT_REST, asked={"keep_source": True}),
    # 10 s of the guest's writes: in both overlays, and once more in the copy.
    "a guest that writes": Shares(
        needed=LITTLE + 3 * 10 * MiB, asked=SNAPSHOT, found={"writes": {"vda": WriteRate(requests=16, bytes=MiB)}}
    ),
    "fully allocated": Shares(
        needed=256 * MiB + 4 * GiB // 64 + 1 * MiB, found={**AT_REST, "images": images(allocated_bytes=4 * GiB)}
    ),
    "to be fully allocated": Shares(needed=LITTLE + 3 * GiB, found=AT_REST, asked={"allocation": Allocation.FULL}),
    # Its base is copied out of process by any method; the top is mirrored.
    "a chain, mirror": Shares(
        needed=GiB + LITTLE,
        asked={"method": Method.MIRROR},
        found={"domain": domain(CHAINED), "images": {VDA: image(), BASE: image()}},
    ),
    "a chain, offline": Shares(
        needed=LITTLE + GiB // 64 + 1 * MiB,
        found={"domain": OFF_CHAINED, "images": {VDA: image(), BASE: image()}},
    ),
    "a chain into one file": Shares(
        needed=2 * GiB + 256 * MiB,
        found={"domain": OFF_CHAINED, "images": {VDA: image(), BASE: image()}},
        asked={"flatten": True},
    ),
}


@pytest.mark.parametrize("case", SHARES.values(), ids=SHARES)
def test_of_a_copy_that_shares_its_extents_little_but_the_reserve_counts(case: Shares) -> None:
    def codes(available: int) -> set[str]:
        pools = (pool(available=available), pool("slow"))
        found = inventory(**{"offloads": REFLINK, "pools": pools, **case.found})
        return {one.code for one in planned(request(**case.asked), found).findings} - {"no-snapshot"}

    assert codes(case.needed) == set()
    assert codes(case.needed - 1) == {"no-space"}


@pytest.mark.parametrize(("room", "codes"), [(4 * GiB, ["no-space"]), (4 * GiB + 256 * MiB, [])])
def test_of_a_volume_that_is_to_be_fully_allocated_all_that_it_can_hold_counts(room: int, codes: list[str]) -> None:
    found = inventory(pools=(pool(available=room), pool("slow")))
    assert codes == [one.code for one in planned(request(allocation=Allocation.FULL), found).findings]


def test_space_is_asked_for_what_a_disk_can_hold_at_most() -> None:
    """A file may be allocated beyond its virtual size (preallocated metadata), the copy will not be."""
    small = inventory(images=images(virtual_bytes=GiB, allocated_bytes=40 * GiB), pools=(pool(available=2 * GiB),))
    assert "no-space" not in {one.code for one in planned(request(), small).findings}
    assert planned(request(), small).copy_bytes == GiB


def test_the_policy_sets_the_reserves_and_the_pause() -> None:
    policy = Policy(move=MovePolicy(max_pause=0.2), space=SpacePolicy(reserve=60 * GiB, scratch_reserve=60 * GiB))
    codes = [one.code for one in planned(request(), inventory(), policy).findings]
    assert codes == ["no-space", "no-scratch", "pause-too-short"]
