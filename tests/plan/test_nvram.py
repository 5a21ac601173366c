"""The file of the UEFI variables: when it moves with the disks, and what is said when it stays."""

from dataclasses import replace
from typing import Any

import pytest

from svmove.model import Disk, DomainState, Image, Inventory, Volume
from svmove.moves import Plan
from svmove.requests import DiskRequest
from svmove.units import GiB, KiB
from svmove.volumes import NVRAM
from tests.builders import disk, domain, inventory, planned, pool, request

PATH = "/pools/slow/web_VARS.fd"
SIZE = 528 * KiB


def home(*disks: Disk, path: str = PATH, **changed: Any) -> Inventory:
    """Of a guest that is off."""
    inactive = disks or (disk(),)
    found = inventory(domain=domain(live=(), inactive=inactive, state=DomainState.OFF, inactive_nvram=path))
    volume = Volume(pool="slow", name=path.rpartition("/")[2], path=path, capacity=SIZE, allocation=SIZE)
    image = Image(format="raw", virtual_bytes=SIZE, allocated_bytes=SIZE)
    found = replace(found, volumes={**found.volumes, path: volume}, images={**found.images, path: image})
    return replace(found, **changed)


def told(plan: Plan) -> str:
    """Why they stay."""
    assert NVRAM not in [one.target for one in plan.disks]
    assert not plan.refused
    (finding,) = [one for one in plan.findings if one.code == "nvram"]
    assert finding.remedy
    return finding.text


def test_they_move_as_one_more_disk_under_their_name_and_byte_by_byte() -> None:
    plan = planned(request(), home())
    assert [one.target for one in plan.disks] == ["vda", NVRAM]
    variables = plan.disks[1]
    assert (variables.source, variables.source_format, variables.delete_source) == (PATH, "raw", True)
    assert (variables.pool_from, variables.volume_from) == ("slow", "web_VARS.fd")
    made = variables.destination
    assert (made.path, made.format, made.capacity) == ("/pools/fast/web_VARS.fd", "raw", SIZE)
    assert plan.copy_bytes == GiB + SIZE
    assert plan.findings == ()


def test_a_source_that_is_to_be_kept_is_kept_of_them_too() -> None:
    assert not any(one.delete_source for one in planned(request(keep_source=True), home()).disks)


def test_what_was_left_behind_by_a_move_of_the_running_guest_is_fetched_when_it_is_off() -> None:
    there = home(disk(path="/pools/fast/web-vda.qcow2"))
    vda = replace(there.volumes["/pools/fast/web-vda.qcow2"], pool="fast")
    plan = planned(request(), replace(there, volumes={**there.volumes, vda.path: vda}))
    assert ([one.target for one in plan.disks], plan.there, plan.refused) == ([NVRAM], ("vda",), False)


def test_what_is_there_already_is_not_spoken_of() -> None:
    plan = planned(request(), home(path="/pools/fast/web_VARS.fd"))
    assert ([one.target for one in plan.disks], plan.findings) == (["vda"], ())


@pytest.mark.parametrize(
    ("asked", "found", "why"),
    [
        ({"disks": (DiskRequest(target="vda"),)}, home(), "only with all disks"),
        ({}, home(disk(), disk("vdb", shareable=True)), "only with all disks"),
        ({}, home(path="/var/lib/libvirt/qemu/nvram/web_VARS.fd", volumes=inventory().volumes), "no volume of a pool"),
        ({}, home(images=inventory().images), "can't be read"),
        ({}, home(used_elsewhere={PATH: "domain db"}), "domain db uses them too"),
        ({}, home(names={"fast": frozenset({"web_VARS.fd"})}), "another volume 'web_VARS.fd'"),
        ({}, home(path="/pools/slow/vars/web-vda.qcow2"), "another volume 'web-vda.qcow2'"),
    ],
)
def test_whatever_stands_against_it_they_stay_and_the_disks_move(asked: Any, found: Inventory, why: str) -> None:
    plan = planned(request(**asked), found)
    assert [one.target for one in plan.disks] == ["vda"]
    assert why in told(plan)


def test_their_room_counts() -> None:
    tight = (pool(available=GiB + 256 * 1024 * KiB), pool("slow"))
    assert not planned(request(), inventory(pools=tight)).refused
    assert [one.code for one in planned(request(), home(pools=tight)).findings] == ["no-space"]


def test_without_a_pool_to_go_to_that_alone_is_said() -> None:
    assert [one.code for one in planned(request(to="nowhere"), home()).findings] == ["no-such-pool"]
