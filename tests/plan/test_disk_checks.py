"""Who else works on a disk, and what is lost or stays when it moves."""

from dataclasses import replace

import pytest

from svmove.model import Agent, Inventory, Mirror
from svmove.moves import Level
from svmove.requests import Allocation, Format, Request
from svmove.units import GiB
from tests.builders import disk, domain, inventory, request
from tests.plan.fires import C1, VDA, Fires, codes, images, named

FIRES = [
    Fires(
        code="no-discard",
        asked=request(trim=True),
        found=inventory(agent=Agent.ANSWERS),
        level=Level.NOTE,
        target="vda",
        says="discard='unmap'",
    ),
    Fires(code="source-full", found=inventory(full=frozenset({"vda"})), target="vda", says="writes there waits"),
    Fires(code="block-job", found=inventory(jobs={"vda": "pull"}), target="vda", says="pull"),
    Fires(
        code="block-job",
        found=inventory(disk(mirror=Mirror(job="copy", path="/x", ready=False))),
        target="vda",
        says="copy",
    ),
    Fires(
        code="source-replaced", found=inventory(unheld=frozenset({"vda"})), target="vda", says="keep the guest running"
    ),
    Fires(
        code="identity-differs",
        found=inventory(domain=domain(disk(serial="a"), inactive=(disk(serial="b"),))),
        level=Level.WARN,
        target="vda",
        says="serial 'a' on bus None live, but serial 'b'",
    ),
    Fires(
        code="identity-differs",
        found=inventory(domain=domain(disk(bus="virtio"), inactive=(disk(bus="sata"),))),
        level=Level.WARN,
        target="vda",
        says="no serial, on bus sata",
    ),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=())), target="vda", says="not in"),
    Fires(
        code="inactive-differs",
        found=inventory(domain=domain(inactive=(disk(path="/other"),))),
        target="vda",
        says="/other",
    ),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=(disk(format="raw"),))), target="vda"),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=(disk(device="lun"),))), target="vda"),
    Fires(code="used-elsewhere", found=inventory(used_elsewhere={VDA: "domain db"}), target="vda", says="domain db"),
    Fires(code="read-only", found=inventory(disk(read_only=True)), level=Level.NOTE, target="vda", says="template"),
    Fires(code="not-in-a-pool", found=inventory(volumes={}), level=Level.NOTE, target="vda", says="kept"),
    Fires(
        code="checkpoints",
        found=inventory(domain=domain(checkpoints=(C1,))),
        level=Level.NOTE,
        target="vda",
        says="c1",
    ),
    Fires(
        code="checkpoints",
        asked=request(format=Format.RAW),
        found=inventory(domain=domain(checkpoints=(C1,))),
        level=Level.WARN,
        target="vda",
        says="so its checkpoints go: c1; what they cover of vdb stays",
    ),
    Fires(
        code="bitmaps",
        asked=request(format=Format.RAW),
        found=inventory(images=images(bitmaps=("mine",))),
        level=Level.WARN,
        target="vda",
        says="mine",
    ),
    Fires(
        code="zeroes-stay",
        asked=request(allocation=Allocation.THIN),
        found=inventory(images=images(allocated_bytes=4 * GiB)),
        level=Level.NOTE,
        target="vda",
        says="detect_zeroes",
    ),
    Fires(
        code="zeroes-stay",
        asked=request(allocation=Allocation.THIN),
        found=inventory(disk(format="raw"), images=images(format="raw", allocated_bytes=4 * GiB)),
        level=Level.NOTE,
        target="vda",
        says="never written becomes holes",
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("identity-differs", request(), inventory(domain=domain(disk(serial="a"), inactive=(disk(serial="a"),)))),
    ("source-replaced", named(), inventory(disk(), disk("vdb"), unheld=frozenset({"vdb"}))),
    ("no-discard", request(), inventory()),
    ("no-discard", request(trim=True), inventory(disk(discard="unmap"), agent=Agent.ANSWERS)),
    ("block-job", request(), inventory(jobs={"vda": "copy"}, domain=domain(marker="m-1"))),  # ours, said already
    ("block-job", request(), inventory(disk(), disk("sda", device="cdrom"), jobs={"sda": "pull"})),
    ("inactive-differs", request(), inventory(domain=domain(persistent=False, inactive=()))),
    ("inactive-differs", request(), inventory(domain=domain(inactive=(disk(), disk("vdb"))))),
    ("used-elsewhere", request(), inventory(used_elsewhere={"/pools/slow/other.qcow2": "db"})),
    ("read-only", request(keep_source=True), inventory(disk(read_only=True))),
    ("not-in-a-pool", request(keep_source=True), inventory(volumes={})),
    ("checkpoints", request(to="slow"), inventory(domain=domain(checkpoints=(C1,)))),
    ("checkpoints", request(), inventory(domain=domain(checkpoints=(replace(C1, targets=("vdb",)),)))),
    ("bitmaps", request(), inventory(images=images(bitmaps=("mine",)))),  # qcow2 carries them
    (
        "bitmaps",  # libvirt's own, of which "checkpoints" tells
        request(format=Format.RAW),
        inventory(domain=domain(checkpoints=(C1,)), images=images(bitmaps=("c1",))),
    ),
    ("zeroes-stay", request(), inventory(images=images(allocated_bytes=4 * GiB))),
    ("zeroes-stay", request(allocation=Allocation.THIN), inventory()),
    (
        "zeroes-stay",
        request(allocation=Allocation.THIN),
        inventory(disk(detect_zeroes="unmap", discard="unmap"), images=images(allocated_bytes=4 * GiB)),
    ),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)
