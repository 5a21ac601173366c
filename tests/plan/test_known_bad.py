"""Versions with faults: each row just inside and just outside of its range, and on no other disks than its own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.location import Secret
from svmove.model import Disk, Versions
from svmove.moves import Level
from svmove.plan import known_bad
from svmove.plan.known_bad import FAULTS, Component, Fault, version
from svmove.requests import Method
from svmove.units import MiB
from tests.builders import disk, domain, image, inventory, planned, request

OTHERS = (disk("vdb", iothread=True),)
# A disk that the row is about, the method that it is about, the other component's version that it needs.
CONCERNED: dict[str, tuple[Disk, Method, dict[str, int]]] = {
    "what the guest writes while a mirror starts": (disk(), Method.MIRROR, {}),
    "what the guest writes while a mirror with synchronous": (disk(), Method.SYNCHRONOUS, {}),
    "QEMU aborts": (disk(), Method.SYNCHRONOUS, {}),
    "a second request": (disk(), Method.MIRROR, {"libvirt": version("11.3")}),
    "a mirror that is paused": (disk(), Method.MIRROR, {}),
    "qcow2 can be corrupted": (disk(), Method.SYNCHRONOUS, {}),
    "with detect_zeroes='unmap', zeroes": (disk(detect_zeroes="unmap"), Method.MIRROR, {}),
    "with detect_zeroes='unmap', writes": (disk(detect_zeroes="unmap"), Method.MIRROR, {}),
    "a TRIM": (disk(bus="sata"), Method.MIRROR, {}),
    "the I/O of a disk with an iothread can be stuck": (disk(iothread=True), Method.MIRROR, {}),
    "the I/O of a disk with an iothread that waited": (disk(iothread=True), Method.MIRROR, {}),
    "I/O limits": (disk(iothread=True, throttled=True), Method.MIRROR, {}),
    "a mirror that is ready": (disk(), Method.MIRROR, {}),
    "a copy to an encrypted": (disk(luks=Secret(usage="web")), Method.MIRROR, {}),
    "a copy to a volume": (disk(), Method.MIRROR, {}),
    "a copy at 100": (disk(), Method.MIRROR, {}),
}
ROWS = [(fault, *one) for fault in FAULTS for start, one in CONCERNED.items() if fault.text.startswith(start)]


def texts(one: Disk, method: Method, versions: Versions) -> list[str]:
    guest = domain(one, *OTHERS)
    found = planned(request(method=method), inventory(domain=guest, versions=versions)).findings
    assert all(finding.level is Level.WARN and finding.remedy for finding in found if finding.code == "known-bad")
    return [finding.text for finding in found if finding.code == "known-bad"]


def versions_of(fault: Fault, number: int, more: dict[str, int]) -> Versions:
    return Versions(**{"libvirt": 0, "qemu": 0, fault.component.value.lower(): number, **more})


def test_every_row_is_tried() -> None:
    assert [row[0] for row in ROWS] == list(FAULTS)


@pytest.mark.parametrize(("fault", "one", "method", "more"), ROWS, ids=[row[0].text[:30] for row in ROWS])
def test_a_row_warns_just_inside_its_versions_and_not_just_outside(
    fault: Fault, one: Disk, method: Method, more: dict[str, int]
) -> None:
    def warned(number: int) -> bool:
        return any(fault.text in text for text in texts(one, method, versions_of(fault, number, more)))

    for first, end in fault.ranges:
        assert warned(version(first))
        assert warned(version(end) - 1)
        assert not warned(version(first) - 1)
        assert not warned(version(end))


@given(st.integers(0, 12), st.integers(0, 30), st.integers(0, 30))
def test_a_version_is_in_a_row_as_its_numbers_are(major: int, minor: int, micro: int) -> None:
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(map(int, (text + ".0").split(".")[:3]))

    number = version(f"{major}.{minor}.{micro}")
    assert known_bad.show(number) == f"{major}.{minor}.{micro}"
    for fault in FAULTS:
        inside = any(numbers(first) <= (major, minor, micro) < numbers(end) for first, end in fault.ranges)
        assert inside == fault.in_version(Versions(libvirt=number, qemu=number))


NOT_CONCERNED: list[tuple[dict[str, Any], str]] = [
    ({}, "detect_zeroes"),
    ({"format": "raw"}, "qcow2"),
    ({"bus": "virtio"}, "TRIM"),
    ({"iothread": True}, "I/O limits"),
    ({"throttled": True}, "I/O limits"),
    ({}, "iothread"),
]


@pytest.mark.parametrize(("changed", "part"), NOT_CONCERNED)
def test_a_disk_that_a_row_is_not_about_is_not_warned_of(changed: dict[str, Any], part: str) -> None:
    guest = domain(disk(**changed))
    found = inventory(domain=guest, versions=Versions(libvirt=9_000_000, qemu=7_002_000))
    assert not [one for one in planned(request(), found).findings if part in one.text and one.code == "known-bad"]


def test_a_fine_granularity_is_a_race_in_large_clusters() -> None:
    path = "/pools/slow/web-vda.qcow2"
    found = inventory(images={path: image(cluster_bytes=2 * MiB)}, versions=Versions(libvirt=0, qemu=7_002_000))
    assert [one.code for one in planned(request(), found).findings] == ["known-bad"]


def test_versions_that_are_not_known_are_not_warned_of() -> None:
    assert not any(fault.in_version(Versions(libvirt=0, qemu=0)) for fault in FAULTS)


def test_every_row_names_a_fix_and_a_method() -> None:
    assert all(fault.fixed and fault.methods and fault.component in Component for fault in FAULTS)
