"""What kinds of disks are moved, and what is in a drive."""

import pytest

from svmove.model import DomainState, Inventory, SourceKind, Versions
from svmove.moves import Level
from svmove.requests import DiskRequest, Request, Verify
from tests.builders import disk, domain, inventory, request
from tests.plan.fires import Fires, codes, images, named

FIRES = [
    Fires(code="no-such-disk", asked=named(DiskRequest(target="vdb")), target="vdb", says="vda"),
    Fires(code="cdrom", found=inventory(disk(device="cdrom", path=None)), asked=named(), target="vda", says="empty"),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, tray_open=True)),
        asked=named(),
        target="vda",
        says="ejected",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, kind=SourceKind.NETWORK)),
        asked=named(),
        target="vda",
        says="not on a file",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, chain=("/base",))),
        asked=named(),
        target="vda",
        says="one plain file",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True), images={}),
        asked=named(),
        target="vda",
        says="can't read",
    ),
    Fires(
        code="bad-name",
        found=inventory(disk(device="cdrom", read_only=True)),
        asked=named(DiskRequest(target="vda", name="a/b")),
        target="vda",
    ),
    Fires(code="floppy", found=inventory(disk(device="floppy")), asked=named(), target="vda", says="write to it"),
    Fires(code="iothread", found=inventory(disk(iothread=True)), target="vda", says="--verify none"),
    Fires(code="sd-card", found=inventory(disk(bus="sd")), target="vda", says="shut the guest down"),
    Fires(code="lun", found=inventory(disk(device="lun")), target="vda", says="passed through"),
    Fires(code="transient-disk", found=inventory(disk(transient=True)), asked=named(), target="vda"),
    Fires(code="shareable", found=inventory(disk(shareable=True)), asked=named(), target="vda"),
    Fires(
        code="unsupported-source",
        found=inventory(disk(kind=SourceKind.NETWORK, path=None), images={}),
        target="vda",
    ),
    Fires(code="unsupported-source", found=inventory(disk(kind=SourceKind.OTHER)), target="vda"),
    Fires(code="unsupported-source", found=inventory(disk(path=None), images={}), target="vda"),
    Fires(code="unsupported-format", found=inventory(disk(format="vmdk")), target="vda", says="vmdk"),
    Fires(code="encrypted", found=inventory(disk(encrypted=True)), target="vda"),
    Fires(code="encrypted", found=inventory(images=images(encrypted=True)), target="vda"),
    Fires(code="data-file", found=inventory(images=images(data_file="x.data")), target="vda", says="x.data"),
    Fires(code="unreadable", found=inventory(images={}), target="vda", says="qemu-img info"),
    Fires(
        code="cdrom", found=inventory(disk(), disk("sda", device="cdrom", path=None)), level=Level.NOTE, target="sda"
    ),
    Fires(code="floppy", found=inventory(disk(), disk("fda", device="floppy")), level=Level.NOTE, target="fda"),
    Fires(code="transient-disk", found=inventory(disk(), disk("vdb", transient=True)), level=Level.WARN, target="vdb"),
    Fires(code="shareable", found=inventory(disk(), disk("vdb", shareable=True)), level=Level.WARN, target="vdb"),
    Fires(
        code="nothing-to-move",
        found=inventory(disk("sda", device="cdrom", path=None)),
        also=frozenset({"cdrom"}),
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("sd-card", request(), inventory(domain=domain(live=(), inactive=(disk(bus="sd"),), state=DomainState.OFF))),
    ("iothread", request(), inventory(disk(iothread=True), versions=Versions(libvirt=10_000_000, qemu=9_000_000))),
    ("iothread", request(verify=Verify.NONE), inventory(disk(iothread=True))),
    ("no-such-disk", named(), inventory(domain=domain(live=(), state=DomainState.OFF))),  # "off" says it all
    ("unreadable", request(), inventory(images={}, can_read_host=False)),  # "no-permission" says it all
    ("unsupported-source", request(), inventory(disk(kind=SourceKind.VOLUME, pool="slow", volume="web-vda.qcow2"))),
    ("unsupported-format", request(), inventory(disk(format="raw"))),
    ("nothing-to-move", request(to="slow"), inventory()),
    ("nothing-to-move", request(), inventory(domain=domain(live=(), state=DomainState.OFF))),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)
