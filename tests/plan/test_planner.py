"""Request + inventory + policy → Plan: which disks, where to, as what, how fast."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.budgets import PoolPolicy
from svmove.errors import UsageError
from svmove.model import DomainState, Inventory, SourceKind
from svmove.moves import Level
from svmove.plan import estimate
from svmove.policy import MirrorPolicy, MovePolicy, Policy
from svmove.requests import DiskRequest, Format, Verify
from svmove.units import GiB, MiB
from tests.builders import MOVE, NOW, UUID, disk, domain, image, inventory, planned, pool, request

VDA = "/pools/slow/web-vda.qcow2"


def targets(plan: Any) -> list[str]:
    return [one.target for one in plan.disks]


# Which disks


def test_by_default_all_that_can_move_is_moved_and_a_cdrom_is_left_with_a_note() -> None:
    found = inventory(disk("vda"), disk("sda", device="cdrom", path=None), disk("vdb"))
    plan = planned(request(), found)
    assert targets(plan) == ["vda", "vdb"]
    assert [(one.level, one.code, one.target) for one in plan.findings] == [(Level.NOTE, "cdrom", "sda")]
    assert not plan.refused


def test_only_what_is_named_is_moved() -> None:
    found = inventory(disk("vda"), disk("vdb"), disk("sda", device="cdrom"))
    plan = planned(request(disks=(DiskRequest(target="vdb"),)), found)
    assert targets(plan) == ["vdb"]
    assert plan.findings == ()


def test_named_disks_may_go_to_pools_of_their_own() -> None:
    asked = request(to=None, disks=(DiskRequest(target="vda", pool="fast"), DiskRequest(target="vdb", pool="third")))
    found = replace(inventory(disk("vda"), disk("vdb")), pools=(pool(), pool("slow"), pool("third")))
    plan = planned(asked, found)
    assert [(one.target, one.destination.pool) for one in plan.disks] == [("vda", "fast"), ("vdb", "third")]


# What is there already


def test_a_disk_that_is_in_the_pool_is_there() -> None:
    plan = planned(request(to="slow"))
    assert (plan.there, plan.disks, plan.refused) == (("vda",), (), False)


@pytest.mark.parametrize(
    "asked",
    [
        request(to="slow", format=Format.RAW),
        request(to="slow", disks=(DiskRequest(target="vda", name="new.qcow2"),)),
    ],
    ids=["format", "name"],
)
def test_a_disk_in_its_pool_that_is_to_change_is_not_there(asked: Any) -> None:
    plan = planned(asked)
    assert (plan.there, targets(plan)) == ((), ["vda"])


def test_a_disk_in_its_pool_with_its_own_format_and_name_is_there() -> None:
    one = DiskRequest(target="vda", name="web-vda.qcow2", format=Format.QCOW2)
    assert planned(request(to="slow", disks=(one,))).there == ("vda",)


def test_a_file_in_no_pool_is_not_there_even_if_its_path_looks_so() -> None:
    assert targets(planned(request(to="slow"), inventory(volumes={}))) == ["vda"]


def test_of_two_disks_one_may_be_there() -> None:
    found = inventory(disk("vda"), disk("vdb"))
    volumes = dict(found.volumes)
    volumes[VDA] = replace(volumes[VDA], pool="fast")
    plan = planned(request(), replace(found, volumes=volumes))
    assert (plan.there, targets(plan)) == (("vda",), ["vdb"])


# As what


@pytest.mark.parametrize(
    ("name", "format_", "wanted", "expected"),
    [
        ("web.qcow2", "qcow2", Format.KEEP, "web.qcow2"),
        ("web.qcow2", "qcow2", Format.RAW, "web.raw"),
        ("web.qcow", "qcow2", Format.RAW, "web.raw"),
        ("web.raw", "raw", Format.QCOW2, "web.qcow2"),
        ("web.img", "raw", Format.QCOW2, "web.qcow2"),
        ("web.img", "raw", Format.RAW, "web.img"),
        ("web", "qcow2", Format.RAW, "web"),
        ("web.v2.qcow2", "qcow2", Format.RAW, "web.v2.raw"),
        ("web.iso", "raw", Format.QCOW2, "web.iso"),
        ("web.raw", "qcow2", Format.KEEP, "web.qcow2"),  # it lied
        ("größe ; $x.img", "raw", Format.KEEP, "größe ; $x.img"),
    ],
)
def test_a_suffix_that_would_lie_is_changed(name: str, format_: str, wanted: Format, expected: str) -> None:
    found = inventory(disk(path=f"/pools/slow/{name}", format=format_))
    spec = planned(request(format=wanted), found).disks[0].destination
    assert (expected, f"/pools/fast/{expected}") == (spec.name, spec.path)


def test_a_name_that_was_given_is_taken_as_it_is() -> None:
    one = DiskRequest(target="vda", name="other.img", format=Format.QCOW2)
    spec = planned(request(disks=(one,))).disks[0].destination
    assert (spec.name, spec.format) == ("other.img", "qcow2")


def test_the_format_of_one_disk_goes_before_that_of_all() -> None:
    one = DiskRequest(target="vda", format=Format.QCOW2)
    assert planned(request(disks=(one,), format=Format.RAW)).disks[0].destination.format == "qcow2"


def test_qcow2_options_are_kept() -> None:
    options: dict[str, Any] = {
        "cluster_bytes": 2 * MiB,
        "compat": "1.1",
        "extended_l2": True,
        "lazy_refcounts": True,
    }
    spec = planned(request(), inventory(images={VDA: image(**options)})).disks[0].destination
    assert options == {key: getattr(spec, key) for key in options}


def test_an_old_compat_is_kept_too() -> None:
    spec = planned(request(), inventory(images={VDA: image(compat="0.10")})).disks[0].destination
    assert spec.compat == "0.10"


def test_from_raw_to_qcow2_gets_todays_compat_and_qemus_defaults() -> None:
    found = inventory(disk(format="raw"), images={VDA: image(format="raw", cluster_bytes=None, compat=None)})
    spec = planned(request(format=Format.QCOW2), found).disks[0].destination
    assert (spec.compat, spec.cluster_bytes, spec.extended_l2, spec.lazy_refcounts) == ("1.1", None, False, False)


def test_raw_has_no_options() -> None:
    found = inventory(images={VDA: image(extended_l2=True, lazy_refcounts=True)})
    spec = planned(request(format=Format.RAW), found).disks[0].destination
    assert (spec.compat, spec.cluster_bytes, spec.extended_l2, spec.lazy_refcounts) == (None, None, False, False)


@pytest.mark.parametrize(("size", "expected"), [(GiB, GiB), (GiB + 1, GiB + 512), (GiB + 512, GiB + 512), (1, 512)])
def test_the_capacity_is_the_source_s_in_whole_sectors(size: int, expected: int) -> None:
    found = inventory(images={VDA: image(virtual_bytes=size)})
    assert expected == planned(request(), found).disks[0].destination.capacity


# What becomes of the source


@pytest.mark.parametrize(
    ("keep", "pooled", "deleted"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_only_a_volume_is_deleted_and_only_if_it_is_not_to_be_kept(keep: bool, pooled: bool, deleted: bool) -> None:
    found = inventory() if pooled else inventory(volumes={})
    plan = planned(request(keep_source=keep), found).disks[0]
    assert deleted == plan.delete_source
    assert (plan.pool_from, plan.volume_from) == (("slow", "web-vda.qcow2") if pooled else (None, None))


# How fast


def test_the_bandwidth_is_shared_by_size() -> None:
    found = inventory(disk("vda"), disk("vdb"))
    images = dict(found.images)
    images[VDA] = image(allocated_bytes=3 * GiB)
    plan = planned(request(bandwidth=100 * MiB), replace(found, images=images))
    assert [one.bandwidth for one in plan.disks] == [75 * MiB, 25 * MiB]
    assert plan.copy_seconds == pytest.approx(4 * GiB / (100 * MiB))


@pytest.mark.parametrize(("asked", "expected"), [(None, 10 * MiB), (20 * MiB, 20 * MiB)])
def test_the_request_s_bandwidth_goes_before_the_policy_s(asked: int | None, expected: int) -> None:
    policy = Policy(move=MovePolicy(bandwidth=10 * MiB))
    assert expected == planned(request(bandwidth=asked), policy=policy).disks[0].bandwidth


@pytest.mark.parametrize(("asked", "expected"), [(None, 3.0), (0.5, 0.5)])
def test_the_request_s_pause_goes_before_the_policy_s(asked: float | None, expected: float) -> None:
    policy = Policy(move=MovePolicy(max_pause=3.0), mirror=MirrorPolicy(granularity=4096, buffer=MiB))
    plan = planned(request(max_pause=asked), policy=policy)
    assert (expected, 4096, MiB) == (plan.max_pause, plan.granularity, plan.buffer)


@given(
    st.integers(min_value=1, max_value=2**40),
    st.lists(st.integers(min_value=0, max_value=2**50), max_size=20),
)
def test_shares_never_exceed_the_bandwidth_and_are_never_none_or_zero(bandwidth: int, sizes: list[int]) -> None:
    shares = [share for share in estimate.shares(bandwidth, sizes) if share is not None]
    assert len(shares) == len(sizes)
    assert all(share >= 1 for share in shares)
    # The one byte/s that is the least (0 would be "no limit") is all that may come on top.
    assert sum(share for share in shares if share > 1) <= bandwidth
    assert sum(shares) <= bandwidth + len(sizes)


@given(st.integers(min_value=1000, max_value=2**40), st.lists(st.integers(1, 2**50), min_size=1, max_size=9))
def test_a_larger_disk_never_gets_a_smaller_share(bandwidth: int, sizes: list[int]) -> None:
    shares = estimate.shares(bandwidth, sorted(sizes))
    assert list(shares) == sorted(share for share in shares if share is not None)


def test_no_bandwidth_is_no_share() -> None:
    assert estimate.shares(None, [1, 2]) == (None, None)


def test_empty_disks_share_evenly() -> None:
    assert estimate.shares(10, [0, 0]) == (5, 5)


def test_an_estimate_assumes_a_rate_until_one_was_measured() -> None:
    assert planned().copy_seconds == pytest.approx(GiB / estimate.ASSUMED_RATE)
    measured = replace(inventory(), past_rates={("slow", "fast"): 512.0 * MiB, ("fast", "slow"): 1.0})
    assert planned(request(), measured).copy_seconds == pytest.approx(2.0)


def test_of_several_pairs_the_slowest_counts() -> None:
    found = inventory(disk("vda"), disk("vdb"))
    rates = {("slow", "fast"): 512.0 * MiB, ("slow", "third"): 256.0 * MiB}
    found = replace(found, pools=(pool(), pool("slow"), pool("third")), past_rates=rates)
    asked = request(disks=(DiskRequest(target="vda"), DiskRequest(target="vdb", pool="third")))
    assert planned(asked, found).copy_seconds == pytest.approx(8.0)


def test_a_limit_above_what_was_measured_does_not_make_it_faster() -> None:
    measured = replace(inventory(), past_rates={("slow", "fast"): 512.0 * MiB})
    assert planned(request(bandwidth=1024 * MiB), measured).copy_seconds == pytest.approx(2.0)
    assert planned(request(bandwidth=256 * MiB), measured).copy_seconds == pytest.approx(4.0)


# A guest that is off

OFF = domain(live=(), state=DomainState.OFF)


def test_a_guest_that_is_off_is_moved_offline_and_proven_before_it_is_redefined() -> None:
    plan = planned(request(), inventory(domain=OFF, scratch_free=0))
    assert (plan.method, plan.verify, plan.why, plan.findings) == ("offline", Verify.BEFORE, "the guest is off", ())
    assert planned(request(verify=Verify.CUTOVER), inventory(domain=OFF)).verify is Verify.BEFORE
    assert planned(request(verify=Verify.NONE), inventory(domain=OFF)).verify is Verify.NONE


def test_internal_snapshots_go_over_in_a_file_that_is_copied_as_it_is() -> None:
    plan = planned(request(), inventory(domain=OFF, images={VDA: image(internal_snapshots=("s1",))}))
    assert (plan.refused, plan.disks[0].destination.format) == (False, "qcow2")


# The plan as a whole


def test_a_plan_carries_what_it_was_made_of() -> None:
    plan = planned()
    assert (plan.move, plan.domain, plan.uuid, plan.method, plan.created) == (MOVE, "web", UUID, "mirror", NOW)


@pytest.mark.parametrize(
    "asked",
    [
        request(to=None),
        request(to=None, disks=(DiskRequest(target="vda", pool="fast"), DiskRequest(target="vdb"))),
        request(disks=(DiskRequest(target="vda"), DiskRequest(target="vda"))),
    ],
    ids=["no pool", "no pool for one", "twice"],
)
def test_a_request_that_contradicts_itself_is_a_usage_error(asked: Any) -> None:
    with pytest.raises(UsageError):
        planned(asked)


@given(
    state=st.sampled_from(DomainState),
    kind=st.sampled_from(SourceKind),
    device=st.sampled_from(["disk", "lun", "cdrom", "floppy"]),
    format_=st.sampled_from(["raw", "qcow2", "vmdk", ""]),
    path=st.sampled_from([None, VDA, "/", ""]),
    pool_path=st.sampled_from([None, "/pools/fast"]),
    bare=st.booleans(),
    readable=st.booleans(),
    named=st.booleans(),
)
def test_whatever_is_found_nothing_is_raised_and_no_disk_is_planned_without_an_image(
    state: DomainState,
    kind: SourceKind,
    device: str,
    format_: str,
    path: str | None,
    pool_path: str | None,
    bare: bool,
    readable: bool,
    named: bool,
) -> None:
    one = disk(kind=kind, device=device, format=format_, path=path)
    live = () if state is DomainState.OFF else (one,)
    found: Inventory = inventory(
        domain=domain(one, state=state, live=live, inactive=(one,)),
        pools=(pool(path=pool_path), pool("slow")),
        can_read_host=readable,
        **({"images": {}, "volumes": {}} if bare else {}),
    )
    plan = planned(request(disks=(DiskRequest(target="vda"),) if named else ()), found)
    assert plan.refused or plan.disks or plan.there or pool_path is None
    assert all(one.source in found.images for one in plan.disks)


@pytest.mark.parametrize(("own", "name", "expected"), [(None, "fast", 64), (None, "slow", 64), (32, "other", 32)])
def test_the_estimate_goes_by_what_the_pools_have_for_all_moves(own: int | None, name: str, expected: int) -> None:
    policy = Policy(pools={name: PoolPolicy(bandwidth=16 * MiB)})
    made = planned(request(bandwidth=None if own is None else own * MiB), policy=policy)
    assert made.copy_seconds == pytest.approx(expected)
    assert [disk.bandwidth for disk in made.disks] == [None if own is None else own * MiB]  # the share is not planned
