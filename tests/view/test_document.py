"""The JSON documents are a contract: exactly these keys, and what json can carry."""

import json
from dataclasses import replace

from svmove.model import Mirror, Volume
from svmove.moves import Finding, Level
from svmove.outcomes import DiskOutcome, Failure, GuestOn, Mismatch, Outcome, Seconds, State
from svmove.requests import Verify
from svmove.units import GiB, MiB
from svmove.view import document
from svmove.volumes import LUKS_HEADER
from tests.builders import MOVE, disk, domain, image, outcome, planned, pool, request

FINDING = Finding(level=Level.WARN, code="source-kept", text="kept", remedy="look", target="vda")
DISK = DiskOutcome(
    target="vda",
    pool_from="slow",
    pool_to="fast",
    source="/a",
    destination="/b",
    format="qcow2",
    virtual_bytes=4096,
    copied_bytes=512,
    verify=Verify.CUTOVER,
    verified=False,
    mismatches=(Mismatch(offset=0, length=512),),
)
FULL: Outcome = outcome(
    state=State.HELD,
    disks=(DISK,),
    seconds=Seconds(total=1.23456, copy=1.0, pause=0.0421, verify=0.1),
    findings=(FINDING, replace(FINDING, target=None, remedy=None)),
    error=Failure(code="mismatch", text="differ", guest_on=GuestOn.DESTINATION, remedy="look"),
)


def test_the_document_of_a_move_is_exactly_this() -> None:
    expected = {
        "schema": 1,
        "move": MOVE,
        "domain": "web",
        "state": "held",
        "method": "mirror",
        "disks": [
            {
                "target": "vda",
                "pool_from": "slow",
                "pool_to": "fast",
                "source": "/a",
                "destination": "/b",
                "format": "qcow2",
                "virtual_bytes": 4096,
                "copied_bytes": 512,
                "verify": "cutover",
                "verified": False,
                "mismatches": [{"offset": 0, "length": 512}],
                "on": "unknown",
                "trimmed_bytes": 0,
                "way": None,
                "overwritten": False,
                "shared": False,
            }
        ],
        "seconds": {"total": 1.2346, "copy": 1.0, "pause": 0.0421, "verify": 0.1, "waited": 0.0},
        "findings": [
            {"level": "warn", "code": "source-kept", "text": "kept", "remedy": "look", "target": "vda"},
            {"level": "warn", "code": "source-kept", "text": "kept", "remedy": None, "target": None},
        ],
        "media": [],
        "error": {"code": "mismatch", "text": "differ", "guest_on": "destination", "remedy": "look"},
    }
    assert expected == json.loads(json.dumps(document.move(FULL)))


def test_a_move_without_an_error_says_null() -> None:
    assert document.move(outcome())["error"] is None


def test_the_states_and_levels_are_the_documented_ones() -> None:
    assert [*State] == ["done", "already-there", "refused", "rolled-back", "held", "handed-over", "started"]
    assert [*Level] == ["refuse", "warn", "note"]
    assert [*GuestOn] == ["source", "destination", "mixed", "off", "unknown"]


def test_the_document_of_a_plan_has_these_keys() -> None:
    found = json.loads(json.dumps(document.plan(planned(request(bandwidth=1024)))))
    assert set(found) == {
        "schema",
        "domain",
        "state",
        "method",
        "verify",
        "max_pause",
        "deadline",
        "cutover",
        "media",
        "trim",
        "freeze",
        "why",
        "disks",
        "there",
        "estimate",
        "findings",
    }
    assert set(found["disks"][0]) == {
        "target",
        "pool_from",
        "pool_to",
        "source",
        "destination",
        "format_from",
        "format",
        "virtual_bytes",
        "allocation",
        "encrypted",
        "copy_bytes",
        "bandwidth",
        "delete_source",
    }
    assert found["disks"][0]["bandwidth"] == 1024
    assert set(found["estimate"]) == {"bytes", "seconds"}


def test_a_plan_says_whether_it_would_do_anything() -> None:
    states = [document.plan(planned(request(to=to)))["state"] for to in ("fast", "slow", "none")]
    assert states == ["planned", "already-there", "refused"]


def test_the_document_of_the_pools_is_their_figures() -> None:
    found = json.loads(json.dumps(document.pools([("db1", pool())])))
    assert set(found) == {"schema", "pools"}
    assert set(found["pools"][0]) == {
        "name",
        "autostart",
        "type",
        "active",
        "path",
        "network",
        "capacity",
        "allocation",
        "available",
        "host",
    }


def test_a_disk_that_can_not_be_read_says_what_libvirt_knows() -> None:
    one, none = disk(), disk("sda", device="cdrom", path=None)
    volume = Volume(pool="slow", name="v", path=str(one.path), capacity=10, allocation=5)
    with_image = document.disks(domain(one, none), {volume.path: volume}, {volume.path: image()})["disks"]
    without = document.disks(domain(one, none), {volume.path: volume}, {})["disks"]
    assert [row["virtual_bytes"] for row in with_image] == [image().virtual_bytes, None]
    assert [(row["virtual_bytes"], row["allocated_bytes"]) for row in without] == [(10, 5), (None, None)]
    assert [row["pool"] for row in without] == ["slow", None]


def test_a_disk_that_a_slice_cuts_is_as_large_as_its_guest_sees_it() -> None:
    cut = disk(slice_bytes=GiB + LUKS_HEADER)
    found = image(virtual_bytes=GiB + 4 * MiB, payload_offset=LUKS_HEADER)
    (row,) = document.disks(domain(cut), {}, {str(cut.path): found})["disks"]
    assert row["virtual_bytes"] == GiB


def test_the_disks_of_a_guest_that_is_off_are_those_of_its_next_start() -> None:
    off = domain(disk(), live=())
    found = document.disks(off, {}, {})
    assert [row["target"] for row in found["disks"]] == ["vda"]


def test_a_job_on_a_disk_is_told() -> None:
    copying = domain(disk(mirror=Mirror(job="copy", path="/x", ready=False)))
    assert document.disks(copying, {}, {})["disks"][0]["job"] == "copy"
