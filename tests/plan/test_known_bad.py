"""Versions with faults: each row just inside and just outside of its range, and on no other disks than its own."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.location import Secret
from svmove.model import Disk, DomainState, Versions
from svmove.moves import Finding, Level
from svmove.plan.faults import FLOOR, Component, Concerns, Fault, Harm, show, version
from svmove.plan.known_bad import FAULTS
from svmove.requests import Method, Verify
from svmove.units import MiB
from tests.builders import disk, domain, image, inventory, planned, request

OTHERS = (disk("vdb", iothread=True),)
KEY = Secret(usage="web")
# A disk that is concerned, and one that is not.
CONCERNED: dict[Concerns, tuple[Disk, Disk | None]] = {
    Concerns.EVERY: (disk(), None),
    Concerns.ZEROES_MEET_WRITES: (disk(), disk(format="raw")),
    Concerns.ZEROES_FOUND: (disk(detect_zeroes="unmap"), disk(detect_zeroes="on")),
    Concerns.ZEROES_FOUND_IN_QCOW2: (disk(detect_zeroes="unmap"), disk(detect_zeroes="unmap", format="raw")),
    Concerns.IDE: (disk(bus="sata"), disk(bus="virtio")),
    Concerns.IOTHREAD: (disk(iothread=True), disk()),
    Concerns.THROTTLED_IN_IOTHREADS: (disk(iothread=True, throttled=True), disk(throttled=True)),
    Concerns.ENCRYPTED: (disk(luks=KEY), disk()),
}


def method_of(fault: Fault) -> Method:
    """The method that the row is tried with. Only synchronous writes let zeroes meet writes with QEMU's own choices."""
    if fault.concerns is Concerns.ZEROES_MEET_WRITES or Method.MIRROR not in fault.methods:
        return Method.SYNCHRONOUS
    return Method.MIRROR


def found(one: Disk, method: Method, versions: Versions, **asked: Any) -> list[Finding]:
    guest = domain(one, *OTHERS)
    plan = planned(request(method=method, **asked), inventory(domain=guest, versions=versions))
    return [finding for finding in plan.findings if finding.code == "known-bad"]


def versions_of(fault: Fault, number: int) -> Versions:
    """The other component's version is such that the row's condition on it is met."""
    other = version(fault.with_libvirt) if fault.with_libvirt else 0
    return (
        Versions(libvirt=other, qemu=number) if fault.component is Component.QEMU else Versions(libvirt=number, qemu=0)
    )


IDS = [fault.text[:40] for fault in FAULTS]
MET = [fault for fault in FAULTS if fault.methods]


@pytest.mark.parametrize("fault", MET, ids=[fault.text[:40] for fault in MET])
def test_a_row_fires_just_inside_its_versions_and_is_silent_just_outside(fault: Fault) -> None:
    concerned, not_concerned = CONCERNED[fault.concerns]

    def fires(number: int, one: Disk) -> bool:
        texts = [finding.text for finding in found(one, method_of(fault), versions_of(fault, number))]
        return any(fault.text in text and "vda" in text for text in texts)

    for first, end in fault.ranges:
        assert fires(version(first), concerned)
        assert fires(version(end) - 1, concerned)
        assert not fires(version(first) - 1, concerned)
        assert not fires(version(end), concerned)
        if not_concerned is not None:
            assert not fires(version(first), not_concerned)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.methods])
def test_a_row_that_no_method_meets_is_never_told_by_a_plan(fault: Fault) -> None:
    number = version(fault.ranges[0][0])
    assert fault.in_version(versions_of(fault, number))
    for method in (Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT):
        assert not any(fault.text in one.text for one in found(disk(), method, versions_of(fault, number)))


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_row_is_silent_of_a_guest_that_is_off(fault: Fault) -> None:
    guest = domain(live=(), inactive=(CONCERNED[fault.concerns][0],), state=DomainState.OFF)
    versions = versions_of(fault, version(fault.ranges[0][0]))
    assert "known-bad" not in {
        one.code for one in planned(request(), inventory(domain=guest, versions=versions)).findings
    }


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.with_libvirt])
def test_a_row_that_needs_a_libvirt_is_silent_below_it(fault: Fault) -> None:
    inside, needed = version(fault.ranges[0][0]), version(fault.with_libvirt or "")
    assert fault.in_version(Versions(qemu=inside, libvirt=needed))
    assert not fault.in_version(Versions(qemu=inside, libvirt=needed - 1))


def test_what_corrupts_silently_is_refused_when_nothing_would_tell() -> None:
    bad = Versions(libvirt=version("10.0"), qemu=version("9.2"))

    def levels(**asked: Any) -> set[Level]:
        return {one.level for one in found(disk(), Method.MIRROR, bad, **asked) if "mirror starts" in one.text}

    assert levels() == {Level.WARN}
    assert levels(verify=Verify.NONE, keep_source=True) == {Level.WARN}
    assert levels(verify=Verify.NONE) == {Level.REFUSE}
    (one,) = [one for one in found(disk(), Method.MIRROR, bad, verify=Verify.NONE) if one.level is Level.REFUSE]
    assert (one.remedy or "").startswith("leave --verify none out")


@given(st.sampled_from(FAULTS), st.integers(0, 12), st.integers(0, 30), st.integers(0, 30))
def test_a_version_is_in_a_row_as_its_numbers_are(fault: Fault, major: int, minor: int, micro: int) -> None:
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(map(int, (text + ".0").split(".")[:3]))

    number = version(f"{major}.{minor}.{micro}")
    assert show(number) == f"{major}.{minor}.{micro}"
    inside = any(numbers(first) <= (major, minor, micro) < numbers(end) for first, end in fault.ranges)
    assert inside == fault.in_version(versions_of(fault, number))


@given(st.integers(7_000_000, 12_000_000), st.integers(7_000_000, 13_000_000))
def test_auto_never_takes_a_method_that_corrupts_while_another_does_not(qemu: int, libvirt: int) -> None:
    """Of a guest that nothing else says a method of."""
    versions = Versions(libvirt=libvirt, qemu=qemu)
    plan = planned(request(), inventory(versions=versions))

    def corrupts(method: Method) -> bool:
        return any(
            fault.harm is Harm.CORRUPTS and fault.concerns is Concerns.EVERY and method in fault.methods
            for fault in FAULTS
            if fault.in_version(versions)
        )

    live = (Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT)
    assert not corrupts(plan.method) or all(corrupts(method) for method in live)


def test_versions_older_than_all_that_was_tried_are_told() -> None:
    def codes(libvirt: int, qemu: int) -> set[str]:
        versions = Versions(libvirt=libvirt, qemu=qemu)
        return {one.code for one in planned(request(), inventory(versions=versions)).findings}

    floor = FLOOR[Component.LIBVIRT], FLOOR[Component.QEMU]
    assert "old-version" not in codes(*floor)
    assert "old-version" in codes(floor[0] - 1, floor[1])
    assert "old-version" in codes(floor[0], floor[1] - 1)
    assert "old-version" not in codes(0, 0)


def test_a_fine_granularity_is_a_race_in_large_clusters() -> None:
    path = "/pools/slow/web-vda.qcow2"
    found = inventory(images={path: image(cluster_bytes=2 * MiB)}, versions=Versions(libvirt=0, qemu=7_002_000))
    assert [one.code for one in planned(request(), found).findings] == ["known-bad"]


def test_versions_that_are_not_known_are_not_warned_of() -> None:
    assert not any(fault.in_version(Versions(libvirt=0, qemu=0)) for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_every_row_names_a_fix_and_a_source_that_a_person_can_follow(fault: Fault) -> None:
    assert re.fullmatch(r"https://\S+", fault.source)
    assert fault.fixed
    assert all(version(first) < version(end) for first, end in fault.ranges)
    assert fault.severity is not Level.REFUSE or fault.harm is Harm.CORRUPTS


def test_every_condition_has_a_row() -> None:
    assert {fault.concerns for fault in FAULTS} == set(Concerns)
