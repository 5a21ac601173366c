"""Checks of how the bytes get over."""

import pytest

from svmove.model import Inventory, Versions
from svmove.moves import Level
from svmove.requests import Method, Request, Verify
from tests.builders import inventory, request
from tests.plan.fires import OFF, Fires, codes, images

FIRES = [
    Fires(
        code="no-synchronous",
        asked=request(method=Method.SYNCHRONOUS),
        found=inventory(versions=Versions(libvirt=7_010_000, qemu=11_000_001)),
        says="libvirt 7.10.0",
        also=frozenset({"old-version"}),
    ),
    Fires(
        code="old-version",
        found=inventory(versions=Versions(libvirt=8_010_000, qemu=11_000_001)),
        level=Level.WARN,
        says="libvirt 8.10.0 is older",
    ),
    Fires(code="verify-before", asked=request(verify=Verify.BEFORE, method=Method.MIRROR), says="--verify cutover"),
    Fires(code="verify-before", asked=request(verify=Verify.BEFORE, method=Method.SYNCHRONOUS)),
    Fires(
        code="known-bad",
        found=inventory(versions=Versions(libvirt=9_000_000, qemu=8_002_000), images=images(cluster_bytes=4096)),
        level=Level.WARN,
        target="vda",
        says="QEMU 8.2.0, vda: ",
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("old-version", request(), inventory(versions=Versions(libvirt=9_000_000, qemu=7_002_000))),
    ("old-version", request(), inventory(domain=OFF, versions=Versions(libvirt=8_000_000, qemu=6_002_000))),
    ("no-synchronous", request(method=Method.SYNCHRONOUS), inventory(versions=Versions(libvirt=8_000_000, qemu=1))),
    ("verify-before", request(method=Method.SNAPSHOT, verify=Verify.BEFORE), inventory()),
    ("known-bad", request(), inventory(versions=Versions(libvirt=9_000_000, qemu=7_002_000))),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)
