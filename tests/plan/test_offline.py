"""Of a guest that is off: what goes where, as bytes of a file or as what the guest sees, and what must be readable."""

from typing import Any

import pytest

from svmove.location import Secret, SecretState
from svmove.model import CopyWay, Disk, DomainState, Inventory, SourceKind
from svmove.moves import Level
from svmove.plan.choice import choose
from svmove.requests import Method, Request, Verify
from svmove.units import GiB
from svmove.volumes import Taken
from tests.builders import disk, domain, image, inventory, planned, pool, request

VDA = "/pools/slow/web-vda.qcow2"
LUN = "iscsi://10.0.0.5/iqn.2026-11.org:san/1"
CEPH = "rbd://10.0.0.1/vms"
ONE, TWO = Secret(usage="one"), Secret(usage="two")


def off(one: Disk, **changed: Any) -> Inventory:
    found = domain(live=(), inactive=(one,), state=DomainState.OFF)
    secrets = {ONE: SecretState.READABLE, TWO: SecretState.READABLE}
    return inventory(domain=found, **{"secrets": secrets, **changed})


def refusals(asked: Request, found: Inventory) -> list[str]:
    plan = planned(asked, found)
    assert plan.method is Method.OFFLINE
    assert plan.verify is Verify.BEFORE
    return [finding.code for finding in plan.findings if finding.level is Level.REFUSE]


def test_it_goes_to_an_image_that_is_made_and_to_a_volume_that_is_taken() -> None:
    rbd = (pool(type="rbd", path=None, network=CEPH), pool("slow"))
    assert refusals(request(), off(disk(), pools=rbd)) == []
    nas = "nbd://10.0.0.7/web"
    assert refusals(request(to=nas), off(disk(), taken={nas: Taken(size=4 * GiB, blank=True)})) == []


@pytest.mark.parametrize("path", [LUN, CEPH + "/web", "nbd://10.0.0.7/web", "/dev/sdb1"])
def test_it_goes_from_there_into_a_file(path: str) -> None:
    kind = SourceKind.BLOCK if path.startswith("/") else SourceKind.NETWORK
    assert refusals(request(), off(disk(path=path, format="raw", kind=kind))) == []


def test_it_goes_into_luks_out_of_it_and_to_another_key() -> None:
    shut = {VDA: image(format="raw", encrypted=True, allocated_bytes=4 * GiB)}
    locked = off(disk(luks=ONE, format="raw"), images=shut)
    for asked in (request(), request(encrypt=TWO), request(decrypt=True)):
        assert refusals(asked, locked) == []
    assert refusals(request(encrypt=TWO), off(disk())) == []


@pytest.mark.parametrize(
    ("asked", "refused"),
    [(request(), []), (request(encrypt=TWO), ["secret-private"]), (request(decrypt=True), ["secret-private"])],
    ids=["as it is", "another key", "plain"],
)
def test_a_private_key_is_no_matter_where_the_file_is_copied_as_it_is(asked: Request, refused: list[str]) -> None:
    shut = {VDA: image(format="raw", encrypted=True)}
    secrets = {ONE: SecretState.PRIVATE, TWO: SecretState.READABLE}
    assert refusals(asked, off(disk(luks=ONE, format="raw"), images=shut, secrets=secrets)) == refused


def test_the_key_that_it_gets_must_be_readable_too_since_svmove_writes_with_it() -> None:
    secrets = {TWO: SecretState.PRIVATE}
    assert refusals(request(encrypt=TWO), off(disk(), secrets=secrets)) == ["secret-private"]


def test_a_key_that_does_not_fit_is_told_before_anything_is_made() -> None:
    shut = {VDA: image(format="raw", encrypted=True)}
    found = off(disk(luks=ONE, format="raw"), images=shut, locked={VDA: "Invalid password"})
    assert refusals(request(decrypt=True), found) == ["wrong-key"]
    unverified = planned(request(decrypt=True, verify=Verify.NONE), found).findings
    assert "wrong-key" in {finding.code for finding in unverified}


def test_internal_snapshots_stay_where_the_file_is_copied_as_it_is_alone() -> None:
    shut = {VDA: image(encrypted=True, internal_snapshots=("old",))}
    found = off(disk(luks=ONE), images=shut)
    assert refusals(request(), found) == []
    assert refusals(request(encrypt=TWO), found) == ["internal-snapshots"]


def test_bitmaps_that_a_file_made_anew_can_t_carry_are_told() -> None:
    found = off(disk(luks=ONE), images={VDA: image(encrypted=True, bitmaps=("monday",))})
    for asked, told in ((request(), False), (request(encrypt=TWO), True)):
        assert ("bitmaps" in {finding.code for finding in planned(asked, found).findings}) is told


def test_what_is_made_anew_shares_no_extents() -> None:
    found = off(disk(luks=ONE), images={VDA: image(encrypted=True)}, offloads={"vda": CopyWay.REFLINK})
    for asked, same in ((request(), True), (request(encrypt=TWO), False)):
        ((choice,), _) = choose(asked, found)
        assert choice.as_it_is is same


def test_a_slice_of_a_file_is_not_the_file() -> None:
    ((choice,), _) = choose(request(), off(disk(slice_bytes=GiB)))
    assert not choice.as_it_is
