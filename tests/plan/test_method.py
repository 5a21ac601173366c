"""Which method, and why: each rule where it speaks, and next to it where it does not."""

from dataclasses import replace
from typing import Any

import pytest

from svmove.model import Checkpoint, CopyWay, DomainState, Inventory, Pool, Versions, WriteRate
from svmove.move.methods import STEPS
from svmove.plan import method
from svmove.requests import DiskRequest, Format, Method, Verify
from svmove.units import GiB, KiB, MiB
from tests.builders import disk, domain, image, inventory, planned, pool, request

VDA = "/pools/slow/web-vda.qcow2"
GOOD = Versions(libvirt=9_000_000, qemu=7_002_001)
MODERN = Versions(libvirt=11_000_000, qemu=11_000_001)
BUSY = {"vda": WriteRate(requests=4000.0, bytes=4000.0 * 64 * KiB)}  # 250 MiB/s
CALM = {"vda": WriteRate(requests=100.0, bytes=100.0 * 64 * KiB)}


@pytest.fixture
def with_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this version could carry that method out."""
    monkeypatch.setattr(method, "AVAILABLE", (Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT))


def chosen(found: Inventory | None = None, **asked: Any) -> tuple[Method, str]:
    plan = planned(request(**asked), found or inventory(versions=GOOD))
    return plan.method, plan.why


def test_auto_chooses_nothing_that_this_version_can_not_carry_out() -> None:
    assert set(method.AVAILABLE) == set(STEPS)
    assert Method.AUTO not in STEPS


def test_a_calm_guest_is_mirrored() -> None:
    assert chosen(inventory(versions=GOOD, writes=CALM)) == (Method.MIRROR, "nothing speaks for another")


@pytest.mark.parametrize("wanted", [Method.MIRROR, Method.SYNCHRONOUS])
def test_what_is_asked_for_is_taken(wanted: Method) -> None:
    assert chosen(inventory(versions=GOOD, writes=BUSY), method=wanted) == (wanted, "as asked")


def test_a_guest_that_writes_faster_than_the_copy_gets_synchronous_writes() -> None:
    found, why = chosen(inventory(versions=GOOD, writes=BUSY))
    assert (found, why) == (Method.SYNCHRONOUS, "the guest dirties 250.0 MiB/s, the copy does 200.0 MiB/s")


def test_a_limit_makes_a_calm_guest_a_fast_one() -> None:
    calm = inventory(versions=GOOD, writes=CALM)
    assert chosen(calm, bandwidth=8 * MiB)[0] is Method.MIRROR
    assert chosen(calm, bandwidth=7 * MiB)[0] is Method.SYNCHRONOUS


def test_a_slow_past_makes_a_calm_guest_a_fast_one() -> None:
    assert chosen(inventory(versions=GOOD, writes=CALM, past_rates={("slow", "fast"): 5.0 * MiB}))[0] == "synchronous"


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        (Versions(libvirt=7_010_000, qemu=7_002_001), "libvirt 7.10.0 has no synchronous writes"),
        (Versions(libvirt=9_000_000, qemu=8_001_000), "in QEMU 8.1.0 what the guest writes while"),
        (Versions(libvirt=11_000_000, qemu=10_002_000), "in QEMU 10.2.0 QEMU aborts"),
    ],
)
def test_synchronous_writes_are_not_chosen_where_they_are_bad_or_absent(versions: Versions, says: str) -> None:
    found, why = chosen(inventory(versions=versions, writes=BUSY))
    assert found is Method.MIRROR
    assert says in why


def test_of_a_qemu_whose_every_mirror_may_lose_writes_the_plan_says_that_the_proof_is_what_is_left() -> None:
    found, why = chosen(inventory(versions=Versions(libvirt=9_000_000, qemu=9_000_000)))
    assert found is Method.MIRROR
    assert "the verification tells" in why


@pytest.mark.usefixtures("with_snapshots")
@pytest.mark.parametrize(
    ("allocated", "way", "expected"),
    [
        (2 * GiB, CopyWay.REFLINK, Method.SNAPSHOT),
        (GiB // 2, CopyWay.REFLINK, Method.MIRROR),  # a snapshot's own second would not be earned back
        (2 * GiB, CopyWay.COPY_RANGE, Method.MIRROR),
        (2 * GiB, CopyWay.CONVERT, Method.MIRROR),
    ],
)
def test_a_large_disk_on_a_shared_reflink_file_system_is_snapshot(
    allocated: int, way: CopyWay, expected: Method
) -> None:
    found = inventory(versions=GOOD, images={VDA: image(allocated_bytes=allocated)}, offloads={"vda": way})
    assert chosen(found)[0] is expected


@pytest.mark.usefixtures("with_snapshots")
@pytest.mark.parametrize("asked", [{"verify": Verify.CUTOVER}, {"format": Format.RAW}], ids=["read anyway", "format"])
def test_where_all_is_read_or_written_anyway_shared_extents_help_nothing(asked: dict[str, Any]) -> None:
    large = {VDA: image(allocated_bytes=2 * GiB)}
    found = inventory(versions=GOOD, images=large, offloads={"vda": CopyWay.REFLINK})
    assert chosen(found, **asked)[0] is Method.MIRROR


@pytest.mark.usefixtures("with_snapshots")
def test_all_disks_must_be_on_it() -> None:
    large = {path: image(allocated_bytes=2 * GiB) for path in (VDA, "/pools/slow/web-vdb.qcow2")}
    found = inventory(disk(), disk("vdb"), versions=GOOD, images=large, offloads={"vda": CopyWay.REFLINK})
    assert chosen(found)[0] is Method.MIRROR


@pytest.mark.usefixtures("with_snapshots")
def test_a_proof_before_the_switch_needs_a_snapshot_which_is_its_default() -> None:
    asked = planned(request(verify=Verify.BEFORE), inventory(versions=GOOD))
    own = planned(request(method=Method.SNAPSHOT), inventory(versions=GOOD))
    assert (asked.method, own.verify, asked.refused, own.refused) == (Method.SNAPSHOT, Verify.BEFORE, False, False)


def test_a_mirror_can_not_be_proven_before_the_switch() -> None:
    plan = planned(request(verify=Verify.BEFORE, method=Method.MIRROR), inventory(versions=GOOD))
    assert (plan.method, [one.code for one in plan.findings]) == (Method.MIRROR, ["verify-before"])


FULL = (pool("fast"), pool("slow", available=1 * MiB))
UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"domain": domain(state=DomainState.OFF, live=())}, "a guest that runs"),
    ({"domain": domain(disk(read_only=True))}, "vda is read-only"),
    ({"domain": domain(disk(shareable=True))}, "vda is shareable"),
    ({"domain": domain(disk(transient=True))}, "vda is <transient/>"),
    ({"domain": domain(disk(device="lun"))}, "vda is not on a file"),
    ({"volumes": {}}, "vda is in no pool's own folder"),
    ({"domain": domain(disk(path="/pools/slow/deep/web.qcow2"))}, "vda is in no pool's own folder"),
    ({"pools": (pool("fast"), pool("slow", active=False))}, "vda is in no pool's own folder"),
    ({"domain": domain(checkpoints=(Checkpoint(name="c1", targets=("vda",)),))}, "vda has checkpoints"),
    ({"images": {VDA: image(bitmaps=("mine",))}}, "vda has dirty bitmaps (mine)"),
    ({"pools": FULL}, "pool slow has 1.0 MiB available for the overlays"),
]


@pytest.mark.usefixtures("with_snapshots")
@pytest.mark.parametrize(("changed", "says"), UNFIT, ids=[says for _, says in UNFIT])
def test_a_snapshot_that_is_not_possible_is_refused_when_asked_for_and_never_chosen(
    changed: dict[str, Any], says: str
) -> None:
    found = inventory(versions=GOOD, **{"offloads": {"vda": CopyWay.REFLINK}, **changed})
    named = (DiskRequest(target="vda"),)
    plan = planned(request(method=Method.SNAPSHOT, disks=named), found)
    (finding,) = [one for one in plan.findings if one.code == "no-snapshot"]
    assert plan.refused
    assert says in finding.text
    assert planned(request(disks=named), found).method is not Method.SNAPSHOT


@pytest.mark.usefixtures("with_snapshots")
def test_an_overlay_has_room_for_what_the_guest_writes_while_the_base_is_copied() -> None:
    """1 GiB at 200 MiB/s are 5.12 s, in which 6.25 MiB/s are 32 MiB, twice; 256 MiB are the reserve."""

    def room(available: int) -> tuple[Pool, ...]:
        return (pool("fast"), pool("slow", available=available))

    enough = inventory(versions=GOOD, writes=CALM, pools=room(321 * MiB))
    short = replace(enough, pools=room(319 * MiB))
    refused = [planned(request(verify=Verify.BEFORE), found).refused for found in (enough, short)]
    assert refused == [False, True]


def test_a_modern_pair_has_nothing_against_any_method() -> None:
    assert method.synchronous_trouble(MODERN) is None
    assert planned(request(), inventory(versions=MODERN)).findings == ()
