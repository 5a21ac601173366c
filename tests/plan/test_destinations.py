"""Checks of the destination: its pool, its kind, the names there."""

from dataclasses import replace

import pytest

from svmove.affinity import AffinityPolicy, Pin
from svmove.model import Inventory
from svmove.moves import Level
from svmove.policy import Policy
from svmove.requests import Allocation, DiskRequest, Format, Request
from svmove.units import GiB
from tests.builders import UUID, disk, domain, inventory, planned, pool, request
from tests.fleets import disk as fleet_disk
from tests.plan.fires import OFF, Fires, codes, named

FIRES = [
    Fires(code="pool-emptied", found=inventory(emptied=frozenset({"fast"})), says="evacuate fast --end"),
    Fires(
        code="affinity",
        found=inventory(fleet=(fleet_disk("web/vda", where="slow", uuid=UUID),)),
        policy=Policy(affinity=AffinityPolicy(pin=(Pin(guests=("web",), pools=("slow",)),))),
        target="vda",
        says="pinned",
        level=Level.WARN,
    ),
    Fires(code="no-such-pool", asked=request(to="fats"), says="did you mean fast?"),
    Fires(code="no-such-pool", asked=named(DiskRequest(target="vda", pool="zzz")), says="there are: fast, slow"),
    Fires(
        code="pool-inactive", found=inventory(pools=(pool(active=False), pool("slow"))), says="virsh pool-start fast"
    ),
    Fires(code="no-access", found=inventory(shut=frozenset({"fast"})), says="chmod o+x /pools/fast"),
    Fires(
        code="no-direct",
        found=inventory(disk(direct=True), buffered=frozenset({"fast"})),
        target="vda",
        says="cache='writeback'",
    ),
    Fires(
        code="reflink",
        found=inventory(shared={"vda": 1 * GiB}),
        level=Level.NOTE,
        target="vda",
        says="1.0 GiB share",
    ),
    Fires(
        code="not-allocated",
        found=inventory(pools=(pool(type="rbd"), pool("slow"))),
        asked=request(allocation=Allocation.FULL),
        level=Level.WARN,
        target="vda",
    ),
    Fires(
        code="offline-files",
        found=inventory(domain=OFF, pools=(pool(type="rbd"), pool("slow"))),
        asked=request(format=Format.QCOW2),
        target="vda",
        says="leave --format out",
    ),
    Fires(code="bad-uri", found=inventory(), asked=request(to="http://host/x"), says="nbd://"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="nbd://me:word@host/x"), says="'nbd://me:***@host/x'"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="nbd:///x"), says="neither a server nor a socket"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="rbd://host/vms/x"), says="name the pool"),
    Fires(
        code="pool-inactive",
        found=inventory(pools=(pool(active=False), pool("slow")), troubles={"fast": "no login"}),
        says="no login mend that",
    ),
    Fires(code="pool-type", found=inventory(pools=(pool(type="gluster"), pool("slow"))), says="gluster"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="a/b")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="..")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name=".")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="a\nb")), target="vda"),
    Fires(
        code="name-taken",
        found=inventory(names={"fast": frozenset({"web-vda.qcow2"}), "slow": frozenset()}),
        target="vda",
        says="--disk vda,name=VOLUME",
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("no-access", request(), inventory(shut=frozenset({"slow"}))),
    ("pool-emptied", request(), inventory(emptied=frozenset({"slow"}))),
    ("affinity", request(), inventory(fleet=(fleet_disk("web/vda", where="slow", uuid=UUID),))),
    ("name-taken", request(), inventory(domain=domain(marker="m-1"), names={"fast": frozenset({"web-vda.qcow2"})})),
    ("pool-inactive", request(), inventory(pools=(pool(), pool("slow"), pool("third", active=False)))),
    ("pool-type", request(), inventory(pools=(pool(type="fs"), pool("slow")))),
    ("pool-type", request(), inventory(pools=(pool(type="netfs"), pool("slow")))),
    ("pool-type", request(), inventory(pools=(pool(), pool("slow"), pool("third", type="gluster")))),
    ("bad-name", named(DiskRequest(target="vda", name="a, b.img")), inventory()),
    ("bad-name", named(DiskRequest(target="vda", name="größe.img")), inventory()),
    ("name-taken", request(), inventory(names={"fast": frozenset({"web-vda"}), "slow": frozenset({"web-vda.qcow2"})})),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)


def test_two_disks_that_would_get_one_name_are_both_told() -> None:
    twins = inventory(disk("vda", path="/pools/slow/x.qcow2"), disk("vdb", path="/pools/other/x.qcow2"))
    twins = replace(twins, names={})
    found = planned(request(), twins).findings
    assert [(one.code, one.target) for one in found] == [("name-twice", "vda"), ("name-twice", "vdb")]


def test_two_disks_of_one_name_in_two_pools_are_none_the_worse() -> None:
    twins = inventory(disk("vda", path="/pools/slow/x.qcow2"), disk("vdb", path="/pools/other/x.qcow2"))
    third = replace(twins, names={}, pools=(pool(), pool("slow"), pool("third")))
    asked = named(DiskRequest(target="vda"), DiskRequest(target="vdb", pool="third"))
    assert planned(asked, third).findings == ()


@pytest.mark.parametrize("source", ["nbd://10.0.0.7/", "iscsi://10.0.0.5/iqn.2026-11.org:san/3"])
def test_a_disk_that_comes_from_where_nothing_has_a_name_is_called_by_its_guest(source: str) -> None:
    from_there = inventory(disk(path=source, format="raw"))
    assert planned(request(), from_there).disks[0].destination.name == "web-vda.img"
    assert planned(request(format=Format.QCOW2), from_there).disks[0].destination.name == "web-vda.qcow2"
    to_ceph = replace(from_there, pools=(pool(type="rbd", path=None, network="rbd://10.0.0.1/vms"), pool("slow")))
    assert planned(request(), to_ceph).disks[0].destination.name == "web-vda"
