"""What the cheap facts say of each disk: where it is, what it takes, why it can't move."""

import dataclasses
from typing import Any

import pytest

from svmove.fleet import Fleet
from svmove.latency import Latencies
from svmove.model import Disk, Domain, DomainState, Mirror, SourceKind, Versions, Volume
from svmove.move.fleet import build, look, pools_of
from svmove.survey import Survey
from svmove.units import GiB
from tests.builders import UUID, disk, domain, pool
from tests.fake import FakeHost, FakeHypervisor, World


def volume(name: str, where: str = "slow", **changed: Any) -> Volume:
    made: dict[str, Any] = {
        "pool": where,
        "name": name,
        "path": f"/pools/{where}/{name}",
        "capacity": 4 * GiB,
        "allocation": GiB,
        "format": "qcow2",
    }
    return Volume(**{**made, **changed})


def built(*domains: Domain, volumes: tuple[Volume, ...] = (), qemu: int = 9_000_000, **more: Any) -> Fleet:
    """Each domain's disks lie in pool `slow`, if nothing else is said."""
    paths = {one.path for one in volumes}
    named = {path for d in domains for one in d.disks for path in (one.path, *one.chain) if path}
    own = tuple(volume(path.rpartition("/")[2]) for path in sorted(named - paths) if path.startswith("/pools/slow/"))
    backing = more.pop("backing", {})
    survey = Survey(domains=domains, pools=(pool("fast"), pool("slow")), volumes=(*own, *volumes), backing=backing)
    given: dict[str, Any] = {"owners": {}, "past_rates": {}, "moved": {}}
    return build(survey, more.pop("filesystems", {}), Versions(libvirt=9_000_000, qemu=qemu), **{**given, **more})


def why(found: Fleet) -> list[str | None]:
    return [one.stays.code if one.stays else None for one in found.disks]


def off(*disks: Disk, **changed: Any) -> Domain:
    return domain(state=DomainState.OFF, live=(), inactive=disks, **changed)


def test_a_disk_has_its_pool_volume_size_and_tags() -> None:
    tags = (("app:tier", "gold"),)
    (one,) = built(domain(disk(), tags=tags)).disks
    assert (one.guest, one.target, one.pool, one.volume) == ("web", "vda", "slow", "web-vda.qcow2")
    assert (one.capacity, one.allocation, one.running, one.tags, one.stays) == (4 * GiB, GiB, True, tags, None)


def test_a_disk_that_is_in_no_pool_is_left_out() -> None:
    assert built(domain(disk(path="/elsewhere/x"))).disks == ()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"device": "lun"}, "lun"),
        ({"transient": True}, "transient-disk"),
        ({"shareable": True}, "shareable"),
        ({"kind": SourceKind.OTHER}, "unsupported-source"),
        ({"format": "vmdk"}, "unsupported-format"),
        ({"encrypted": True}, "encrypted"),
        ({"mirror": Mirror(job="copy", path="/x", ready=False)}, "block-job"),
        ({"read_only": True}, "read-only"),
        ({}, None),
    ],
)
def test_the_shape_of_a_disk_may_keep_it(changed: dict[str, Any], code: str | None) -> None:
    assert why(built(domain(disk(**changed)))) == [code]


def test_an_iothread_keeps_a_disk_before_qemu_9_while_the_guest_runs() -> None:
    assert why(built(domain(disk(iothread=True)), qemu=8_002_000)) == ["iothread"]
    assert why(built(domain(disk(iothread=True)), qemu=9_000_000)) == [None]
    assert why(built(off(disk(iothread=True)), qemu=8_002_000)) == [None]


def test_the_state_of_the_guest_may_keep_its_disks() -> None:
    assert why(built(domain(state=DomainState.OTHER))) == ["domain-state"]
    assert why(built(domain(marker="20240101-x"))) == ["move-running"]
    assert why(built(domain(), owners={UUID: "20240101-x"})) == ["move-running"]
    assert why(built(off(disk(), managed_save=True))) == ["managed-save"]


def test_a_file_that_two_guests_name_keeps_both() -> None:
    twin = dataclasses.replace(domain(disk()), name="twin", uuid="other")
    assert why(built(domain(disk()), twin)) == ["used-elsewhere", "used-elsewhere"]


def test_of_a_guest_that_is_off_only_files_move_and_to_files() -> None:
    (one,) = built(off(disk())).disks
    assert (one.stays, one.files_only, one.running) == (None, True, False)
    lvm = volume("web", "vg", path="/dev/vg/web")
    found = built(off(disk(path="/dev/vg/web", format="raw")), volumes=(lvm,))
    assert why(found) == ["offline-files"]


def test_what_is_no_guest_s_disk_is_told_of() -> None:
    found = built(domain(disk()), volumes=(volume("orphan.img"),))
    assert [(one.volume, one.stays.code, one.guest) for one in found.loose] == [("orphan.img", "no-guest", None)]


def test_media_and_uefi_variables_stay() -> None:
    cd = disk("sda", device="cdrom", path="/pools/slow/x.iso", format="raw", read_only=True)
    found = built(domain(disk(), cd, live_nvram="/pools/slow/web_VARS.fd"), volumes=(volume("web_VARS.fd"),))
    assert [(one.volume, one.stays.code, one.target) for one in found.loose] == [
        ("x.iso", "medium", "sda"),
        ("web_VARS.fd", "nvram", None),
    ]
    assert why(found) == [None]


def test_a_chain_of_its_own_goes_with_a_disk_and_counts() -> None:
    found = built(domain(disk(chain=("/pools/slow/base.qcow2",), chain_formats=("qcow2",))))
    assert (found.disks[0].allocation, found.disks[0].files_only, found.loose) == (2 * GiB, True, ())


def test_the_chain_of_a_guest_that_is_off_is_known_from_its_pool() -> None:
    backing = {"/pools/slow/web-vda.qcow2": "/pools/slow/base.qcow2"}
    found = built(off(disk()), volumes=(volume("base.qcow2"),), backing=backing)
    assert (found.disks[0].allocation, found.loose) == (2 * GiB, ())


def test_a_template_stays_and_its_disks_go() -> None:
    base: dict[str, Any] = {"chain": ("/pools/slow/base.qcow2",), "chain_formats": ("qcow2",)}
    twin = dataclasses.replace(domain(disk(path="/pools/slow/twin.qcow2", **base)), name="twin", uuid="other")
    found = built(domain(disk(**base)), twin)
    assert why(found) == [None, None]
    assert [one.allocation for one in found.disks] == [GiB, GiB]
    assert [(one.volume, one.stays.code) for one in found.loose] == [("base.qcow2", "template")]


def test_what_lies_below_a_disk_of_another_pool_stays() -> None:
    top = volume("web.qcow2", "fast")
    found = built(
        domain(disk(path=top.path, chain=("/pools/slow/base.qcow2",), chain_formats=("raw",))), volumes=(top,)
    )
    assert [(one.volume, one.stays.code) for one in found.loose] == [("base.qcow2", "backing")]
    assert found.disks[0].pool == "fast"


def test_pools_have_their_promises_their_place_and_their_latency() -> None:
    known = Latencies(pools={"slow": 0.02}, loads={(UUID, "vda"): 1.5}, seconds=60.0)
    found = built(domain(), filesystems={"slow": "fs-1", "fast": "fs-1"}, latencies=known)
    fast, slow = found.pools
    assert (fast.place, slow.place) == ("fs-1", "fs-1")
    assert (fast.promised, slow.promised) == (0, 4 * GiB)
    assert (fast.latency, slow.latency, found.disks[0].load) == (None, 0.02, 1.5)
    assert [one.place for one in built(domain()).pools] == ["pool fast", "pool slow"]


def test_the_fake_is_looked_at_as_a_libvirt_is() -> None:
    world = World("vda", "vdb")
    survey, _ = look(FakeHypervisor(world), FakeHost(world))
    assert world.faults.calls.count("refresh_pool") == 2
    assert pools_of(survey) == {(UUID, "vda"): "slow", (UUID, "vdb"): "slow"}
