"""Destinations in volume groups: made thick, or taken where one of that name is there."""

from dataclasses import replace

import pytest

from svmove.location import Secret, SecretState
from svmove.model import Inventory, Pool
from svmove.moves import Plan
from svmove.plan.planner import make_plan
from svmove.policy import Policy
from svmove.requests import DiskRequest
from svmove.units import GiB, MiB
from svmove.virt import documents
from svmove.volumes import LUKS_HEADER, Taken, VolumeSpec
from tests.builders import MOVE, NOW, image, inventory, pool, request

THERE = "/dev/fast/web"


def group(
    size: int = 4 * GiB, *, there: Taken | None = None, listed: bool = True, available: int = 50 * GiB
) -> Inventory:
    made = Pool(name="fast", type="logical", active=True, path="/dev/fast", available=available)
    return inventory(
        pools=(made, pool("slow")),
        images={"/pools/slow/web-vda.qcow2": image(virtual_bytes=size)},
        names={"fast": frozenset({"web"} if there and listed else ())},
        taken={THERE: there} if there else {},
    )


def planned(found: Inventory, name: str = "web", *, overwrite: bool = False) -> Plan:
    asked = request(disks=(DiskRequest(target="vda", pool="fast", name=name),), overwrite=overwrite)
    return make_plan(asked, found, Policy(), move=MOVE, now=NOW)


def codes(plan: Plan) -> list[str]:
    return [finding.code for finding in plan.findings if finding.code != "thinness"]


def spec(plan: Plan) -> VolumeSpec:
    return plan.disks[0].destination


def test_a_volume_is_made_raw_and_of_the_disks_size() -> None:
    plan = planned(group())
    assert codes(plan) == []
    made = spec(plan)
    assert (made.path, made.format, made.capacity, made.taken) == (THERE, "raw", 4 * GiB, False)


@pytest.mark.parametrize("size", [4 * GiB + 512, 4 * GiB - 512, 42 * MiB])
def test_a_disk_of_no_whole_extents_is_told_to_get_a_slice(size: int) -> None:
    plan = planned(group(size))
    assert codes(plan) == ["slice"]
    assert f"{4 * MiB - size % (4 * MiB)} more" in plan.findings[-1].text


def test_a_disk_in_luks_gets_room_for_its_header_and_is_plain_for_libvirt() -> None:
    key = Secret(usage="web")
    asked = request(disks=(DiskRequest(target="vda", pool="fast", name="web", encrypt=key),))
    found = replace(group(), secrets={key: SecretState.READABLE})
    plan = make_plan(asked, found, Policy(), move=MOVE, now=NOW)
    assert codes(plan) == ["slice", "plain-traces"]
    assert f"with its LUKS header of {LUKS_HEADER}" in next(f.text for f in plan.findings if f.code == "slice")
    text = documents.volume(spec(plan), dense=True)
    assert f'<allocation unit="B">{4 * GiB + LUKS_HEADER}</allocation>' in text
    assert "encryption" not in text


@pytest.mark.parametrize("listed", [True, False], ids=["thick", "thin"])
def test_one_that_is_there_is_taken_when_it_is_named(listed: bool) -> None:
    """libvirt does not list thin ones."""
    plan = planned(group(there=Taken(size=4 * GiB, blank=True), listed=listed))
    assert codes(plan) == []
    assert (spec(plan).taken, spec(plan).overwrite) == (True, False)


def test_one_with_something_in_it_is_taken_only_if_it_is_given_up() -> None:
    found = group(there=Taken(size=4 * GiB, blank=False))
    assert codes(planned(found)) == ["not-blank"]
    plan = planned(found, overwrite=True)
    assert codes(plan) == []
    assert (spec(plan).taken, spec(plan).overwrite) == (True, True)


def test_one_that_is_there_is_not_taken_by_a_name_that_nobody_gave() -> None:
    asked = request(disks=(DiskRequest(target="vda", pool="fast"),), overwrite=True)
    found = group(there=Taken(size=4 * GiB, blank=True))
    found.names["fast"] = frozenset({"web-vda.raw"})  # type: ignore[index]
    plan = make_plan(asked, found, Policy(), move=MOVE, now=NOW)
    assert codes(plan) == ["name-taken"]


@pytest.mark.parametrize("size", [4 * GiB - 4 * MiB, 0])
def test_one_that_is_too_small_is_refused(size: int) -> None:
    assert codes(planned(group(there=Taken(size=size, blank=True)))) == ["volume-too-small"]


@pytest.mark.parametrize(
    "name", ["web disk", "-web", "snapshot1", "pvmove0", "web_tmeta", "web_mlog", "größe", "x" * 128, "..", "a/b"]
)
def test_a_name_that_lvm_can_not_have_is_refused(name: str) -> None:
    assert "bad-name" in codes(planned(group(), name))


@pytest.mark.parametrize("name", ["web", "web-vda.raw", "_web", "Web+1", "x" * 127])
def test_a_name_that_lvm_can_have_is_not(name: str) -> None:
    assert codes(planned(group(), name)) == []


def test_all_of_a_disk_must_have_room_in_the_group() -> None:
    """A guest has 1 GiB in it."""
    assert codes(planned(group(available=4 * GiB))) == ["no-space"]


def test_libvirt_is_asked_for_a_thick_volume() -> None:
    """Of one with less than all of its room it would make a snapshot of the old kind."""
    asked = spec(planned(group()))
    assert f'<allocation unit="B">{4 * GiB}</allocation>' in documents.volume(asked, dense=True)
    assert '<allocation unit="B">0</allocation>' in documents.volume(asked)
