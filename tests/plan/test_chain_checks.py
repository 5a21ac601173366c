"""Checks of what lies below a disk, and inside its files."""

import pytest

from svmove.model import DomainState, Inventory
from svmove.requests import Base, Format, Method, Request
from tests.builders import disk, domain, image, inventory, request
from tests.plan.fires import BASE, CHAINED, OFF, OFF_CHAINED, ON_LUN, SNAPPED, VDA, Fires, chained, codes, images

FIRES = [
    Fires(code="unreadable", found=chained(images=images()), target="vda", says="/pools/slow/base.qcow2"),
    Fires(code="raw-chain", found=chained(), asked=request(format=Format.RAW), target="vda", says="--flatten"),
    Fires(
        code="flatten-snapshots",
        found=chained(domain=domain(CHAINED, snapshots=("before",))),
        asked=request(flatten=True),
        target="vda",
        says="before",
    ),
    Fires(
        code="no-snapshot",
        found=chained(),
        asked=request(flatten=True, method=Method.SNAPSHOT),
        says="--method mirror",
    ),
    Fires(code="internal-snapshots", found=inventory(images=SNAPPED), target="vda", says="shut the guest down"),
    Fires(
        code="internal-snapshots",
        found=inventory(domain=OFF, images=SNAPPED),
        asked=request(format=Format.RAW),
        target="vda",
        says="leave --format out",
    ),
    Fires(
        code="internal-snapshots",
        found=chained(domain=OFF_CHAINED, images={VDA: image(internal_snapshots=("s1",)), BASE: image()}),
        asked=request(flatten=True),
        target="vda",
        says="leave --flatten out",
    ),
    Fires(
        code="internal-snapshots",
        found=chained(domain=OFF_CHAINED, images={VDA: image(), BASE: image(internal_snapshots=("s1",))}),
        asked=request(flatten=True),
        target="vda",
        says="qemu-img snapshot -d NAME /pools/slow/base.qcow2",
    ),
    Fires(
        code="data-file",
        found=chained(domain=OFF_CHAINED, images={VDA: image(), BASE: image(data_file="x.data")}),
        asked=request(flatten=True),
        target="vda",
        says="while the guest runs",
    ),
    Fires(
        code="offline-files",
        found=chained(domain=domain(live=(), inactive=(ON_LUN,), state=DomainState.OFF)),
        target="vda",
        also=frozenset({"unreadable"}),
        says="--flatten",
    ),
    Fires(
        code="unsupported-format",
        found=chained(domain=domain(disk(chain=(BASE,), chain_formats=("vmdk",)))),
        target="vda",
        says="--flatten",
    ),
    Fires(code="encrypted", found=chained(images={VDA: image(), BASE: image(encrypted=True)}), target="vda"),
    Fires(
        code="data-file",
        found=chained(images={VDA: image(), BASE: image(data_file="/pools/slow/data.raw")}),
        target="vda",
        says="data.raw",
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("raw-chain", request(format=Format.RAW, flatten=True), chained()),
    ("internal-snapshots", request(flatten=True), inventory(domain=OFF, images=SNAPPED)),  # there is no chain
    ("internal-snapshots", request(), chained(domain=OFF_CHAINED, images={**SNAPPED, BASE: image()})),
    ("flatten-snapshots", request(), chained(domain=domain(CHAINED, snapshots=("before",)))),
    ("name-taken", request(base=Base.FIND), chained(names={"fast": frozenset({"base.qcow2"})})),
    (
        "data-file",
        request(flatten=True),
        chained(images={VDA: image(), BASE: image(data_file="/pools/slow/data.raw")}),
    ),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)
