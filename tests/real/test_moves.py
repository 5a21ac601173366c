"""Moves of the guest that writes and checks all the time."""

from pathlib import Path

import pytest

from svmove.units import MiB
from tests.real.faults import storage
from tests.real.world import GUEST, World, disk


def test_both_disks_move_at_once_and_nothing_else_changes(guest: World) -> None:
    to, before = guest.other(), guest.elements()
    inactive = guest.elements(GUEST, "--inactive")
    sources = {target: guest.path(target) for target in ("vda", "vdb")}

    result = guest.cli.move(GUEST, "--to", to)

    assert (result.code, result.document["state"], result.document["error"]) == (0, "done", None), result.stderr
    assert guest.where() == {"vda": to, "vdb": to}
    assert [(d["target"], d["verified"], d["mismatches"]) for d in result.document["disks"]] == [
        ("vda", True, []),
        ("vdb", True, []),
    ]
    assert result.document["seconds"]["pause"] < 2
    # Serial, address, cache, io, discard, tuning, boot order.
    assert guest.elements() == before
    assert guest.elements(GUEST, "--inactive") == inactive
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}
    assert not any(path.exists() for path in sources.values())
    assert list(guest.cli.scratch.glob("*")) == []
    # libvirt knows the new volumes and no longer the old ones.
    pools = {path.parent.name for path in sources.values()}
    assert [guest.virsh("vol-list", pool) for pool in pools] == [""]
    assert GUEST in guest.virsh("vol-list", to)


def test_the_tuning_of_a_disk_survives_the_move(guest: World) -> None:
    guest.virsh("blkdeviotune", GUEST, "vdb", "--total-iops-sec", "900", "--live", "--config")
    before = guest.elements(), guest.elements(GUEST, "--inactive")
    assert "900" in before[0]["vdb"]

    assert guest.cli.move(GUEST, "--to", guest.other("vdb"), "--disk", "vdb", "--verify", "none").code == 0

    assert (guest.elements(), guest.elements(GUEST, "--inactive")) == before
    guest.virsh("blkdeviotune", GUEST, "vdb", "--total-iops-sec", "0", "--live", "--config")


def test_one_disk_moves_and_the_other_stays(guest: World) -> None:
    stays = guest.path("vda")

    result = guest.cli.move(GUEST, "--to", guest.other("vdb"), "--disk", "vdb")

    assert result.code == 0
    assert [d["target"] for d in result.document["disks"]] == ["vdb"]
    assert guest.path("vda") == stays


def test_raw_becomes_qcow2_and_raw_again(guest: World) -> None:
    for format_, pool in (("qcow2", guest.other("vdb")), ("raw", guest.path("vdb").parent.name)):
        result = guest.cli.move(GUEST, "--disk", f"vdb={pool},format={format_}")
        assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout
        found = guest.domain().disk("vdb")
        assert found is not None
        assert (found.format, guest.path("vdb").suffix) == (format_, f".{format_}")
        assert guest.cli("disks", GUEST, "--json").document["disks"][1]["format"] == format_


def test_disks_go_to_different_pools_at_once_each_in_its_format_and_come_back_from_there(guest: World) -> None:
    (guest.folder / "third").mkdir(mode=0o755)
    home, other = guest.path("vda").parent.name, guest.other("vda")
    formats = {disk.target: disk.format for disk in guest.domain().live}
    turned = {target: "raw" if format_ == "qcow2" else "qcow2" for target, format_ in formats.items()}
    with storage.pool(guest, guest.folder / "third", "third"):
        away = guest.cli.move(
            GUEST, *("--disk", f"vda=third,format={turned['vda']}", "--disk", f"vdb={other},format={turned['vdb']}")
        )
        try:
            assert (away.code, away.document["state"]) == (0, "done"), away.stdout
            assert guest.where() == {"vda": "third", "vdb": other}
            assert {disk.target: disk.format for disk in guest.domain().live} == turned
            assert [d["verified"] for d in away.document["disks"]] == [True, True]
        finally:
            words = [word for target, was in formats.items() for word in ("--disk", f"{target}={home},format={was}")]
            back = guest.cli.move(GUEST, *words)
        assert (back.code, back.document["state"]) == (0, "done"), back.stdout
        assert guest.where() == {"vda": home, "vdb": home}
        assert list((guest.folder / "third").iterdir()) == []
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}


def test_ten_moves_there_and_back_leave_nothing_behind(guest: World) -> None:
    for _ in range(10):
        result = guest.cli.move(GUEST, "--to", guest.other("vdb"), "--disk", "vdb")
        assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}


@pytest.mark.parametrize("target", ["vda", "vdb"])
def test_thin_stays_thin(guest: World, target: str) -> None:
    allocated = guest.path(target).stat().st_blocks

    assert guest.cli.move(GUEST, "--to", guest.other(target), "--disk", target).code == 0

    assert guest.path(target).stat().st_blocks == pytest.approx(allocated, rel=0.05)


def test_the_bandwidth_is_kept_by_all_disks_together(guest: World) -> None:
    asked = 100 * MiB

    result = guest.cli.move(
        GUEST, "--to", guest.other(), "--bandwidth", "100MiB/s", "--verify", "none", "--keep-source"
    )

    assert result.code == 0
    copied = sum(d["copied_bytes"] for d in result.document["disks"])
    assert copied / result.document["seconds"]["copy"] <= asked * 1.1


def test_a_bandwidth_below_the_storages_is_used_up(world: World) -> None:
    path = world.image("full.img", "96M", "raw")
    path.write_bytes(bytes(range(1, 256)) * (96 * MiB // 255))
    world.guest("full", disk(path, format_="raw"))

    result = world.cli.move("full", "--to", "lab-b", "--bandwidth", "24MiB/s", "--verify", "none")

    assert result.code == 0
    rate = result.document["disks"][0]["copied_bytes"] / result.document["seconds"]["copy"]
    assert rate == pytest.approx(24 * MiB, rel=0.1)


def test_keep_source_keeps_it(guest: World) -> None:
    source = guest.path("vdb")

    result = guest.cli.move(GUEST, "--to", guest.other("vdb"), "--disk", "vdb", "--keep-source")

    assert (result.code, source.exists(), guest.path("vdb") != source) == (0, True, True)


def test_a_disk_that_is_already_there_is_left_alone(guest: World) -> None:
    before = guest.state(GUEST)

    result = guest.cli.move(GUEST, "--disk", f"vda={guest.path('vda').parent.name}")

    assert (result.code, result.document["state"], result.document["move"]) == (0, "already-there", None)
    assert guest.state(GUEST) == before


def test_a_guest_that_its_operator_paused_stays_paused(world: World) -> None:
    world.guest("paused", disk(world.image("paused.qcow2")))
    world.virsh("suspend", "paused")

    result = world.cli.move("paused", "--to", "lab-b")

    assert (result.code, world.virsh("domstate", "paused")) == (0, "paused"), result.stdout
    assert result.document["seconds"]["pause"] == 0
    assert world.where("paused") == {"vda": "lab-b"}


def test_a_disk_in_no_pool_moves_and_its_file_is_kept(world: World) -> None:
    outside = world.folder / "outside.qcow2"
    world.image("x.qcow2").rename(outside)
    world.guest("outsider", disk(outside))

    assert "not-in-a-pool" in world.cli("plan", "outsider", "--to", "lab-b").stdout
    result = world.cli.move("outsider", "--to", "lab-b")

    assert (result.code, result.document["disks"][0]["pool_from"]) == (0, None)
    assert (outside.exists(), world.where("outsider")) == (True, {"vda": "lab-b"})


def test_the_options_of_a_qcow2_go_with_it(world: World) -> None:
    options = "cluster_size=128k,extended_l2=on,lazy_refcounts=on,compat=1.1"
    world.guest("options", disk(world.image("options.qcow2", "64M", "qcow2", "-o", options)))

    assert world.cli.move("options", "--to", "lab-b").code == 0

    image = world.host.image(str(world.path("vda", "options")), "qcow2")
    assert (image.cluster_bytes, image.extended_l2, image.lazy_refcounts, image.compat) == (131072, True, True, "1.1")
    assert image.virtual_bytes == 64 * MiB


def test_a_plan_changes_nothing(guest: World) -> None:
    before = guest.state(GUEST)

    result = guest.cli("plan", GUEST, "--to", guest.other(), "--json")

    assert (result.code, result.document["state"]) == (0, "planned")
    assert {Path(d["source"]) for d in result.document["disks"]} <= {guest.path("vda"), guest.path("vdb")}
    assert guest.state(GUEST) == before


def test_pools_and_disks_say_what_is_where(guest: World) -> None:
    pools = {pool["name"]: pool for pool in guest.cli("pools", "--json").document["pools"]}
    disks = guest.cli("disks", GUEST, "--json").document["disks"]

    assert {"lab-a", "lab-b"} <= set(pools)
    assert pools["lab-a"]["available"] > 0
    assert [(d["target"], d["format"], d["virtual_bytes"]) for d in disks] == [
        ("vda", "qcow2", 2048 * MiB),
        ("vdb", "raw", 1024 * MiB),
    ]
    assert str(guest.path("vda").name) in guest.cli("disks", GUEST).stdout
    assert "lab-b" in guest.cli("pools").stdout
