"""Somebody works against us, in the middle of a real move. Nothing of anybody's is lost."""

import os
import signal
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import run
from tests.real.cli import finished
from tests.real.filesystems import pool
from tests.real.world import GUEST, World, copying, disk, until


def _slow(world: World, *words: str) -> list[str]:
    return ["move", GUEST, "--to", world.other("vdb"), "--disk", "vdb", "--bandwidth", "80MiB/s", "--json", *words]


def test_a_destination_that_was_replaced_is_never_switched_to(guest: World) -> None:
    source, to = guest.path("vdb"), guest.other("vdb")
    process = guest.cli.start(*_slow(guest, "--verify", "none"))
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    made = guest.lab.paths.pool(to) / source.name
    other = made.with_suffix(".tmp")
    with other.open("wb") as file:
        os.truncate(file.fileno(), source.stat().st_size)
    os.chown(other, made.stat().st_uid, made.stat().st_gid)
    other.rename(made)

    result = finished(process)

    assert (result.code, result.codes) == (4, ["destination-replaced"]), result.stdout
    assert (guest.path("vdb"), source.exists()) == (source, True)
    # It is somebody's, so it stays, and that is told.
    assert [(f["code"], made.exists()) for f in result.document["findings"] if f["level"] == "warn"] == [
        ("not-verified", True),
        ("destination-kept", True),
    ]


def test_a_pool_that_was_defined_anew_elsewhere_loses_nothing(guest: World) -> None:
    source = guest.path("vdb")
    pool = source.parent.name
    elsewhere = guest.folder / "elsewhere"
    elsewhere.mkdir()
    precious = elsewhere / source.name
    precious.write_text("precious")
    process = guest.cli.start(*_slow(guest))
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    described = guest.virsh("pool-dumpxml", pool)
    _define_pool(guest, pool, described.replace(str(source.parent), str(elsewhere)))

    result = finished(process)
    _define_pool(guest, pool, described)

    assert (result.code, result.document["state"]) == (0, "done")
    assert precious.read_text() == "precious"
    assert (source.exists(), [f["code"] for f in result.document["findings"]]) == (True, ["source-kept"])


def _define_pool(world: World, name: str, text: str) -> None:
    element = etree.fromstring(text.encode())
    uuid = element.find("uuid")
    if uuid is not None:
        element.remove(uuid)
    world.virsh("pool-destroy", name)
    world.virsh("pool-undefine", name)
    world.virsh.define("pool-define", element)
    world.virsh("pool-start", name)


def test_an_image_that_others_are_based_on_is_not_deleted(world: World) -> None:
    base = world.image("base.img", "8M", "raw")
    world.guest("reader", disk(world.image("own.qcow2")), disk(base, "vdb", "raw", readonly=""))
    world.image("child.qcow2", "8M", "qcow2", "-b", str(base), "-F", "raw")

    assert world.cli.move("reader", "--to", "lab-b", "--disk", "vdb").codes == ["used-elsewhere"]
    (base.parent / "child.qcow2").unlink()
    world.virsh("pool-refresh", "lab-a")
    result = world.cli.move("reader", "--to", "lab-b", "--disk", "vdb")

    assert (result.code, base.exists()) == (0, True)
    assert [f["code"] for f in result.document["findings"]] == ["read-only"], result.stdout


def test_another_guest_that_names_the_file_by_a_link_is_found(world: World) -> None:
    image = world.image("two.img", "8M", "raw")
    link = world.folder / "link"
    link.symlink_to(image.parent)
    world.guest("first", disk(image, format_="raw"))
    world.guest("second", disk(link / image.name, format_="raw"), start=False)

    assert world.cli.move("first", "--to", "lab-b").codes == ["used-elsewhere"]


def test_another_guest_whose_disk_is_a_volume_of_a_pool_that_is_not_active_is_found(world: World) -> None:
    cold = world.folder / "cold"
    cold.mkdir(mode=0o755)
    image = cold / "two.img"
    run(["qemu-img", "create", "-q", "-f", "raw", image, "8M"])
    with pool(world, cold, "cold"):
        world.guest("first", disk(image, format_="raw"))
        volume = disk(None, format_="raw")
        volume.set("type", "volume")
        volume.append(E.source(pool="cold", volume=image.name))
        world.guest("second", volume, start=False)
        world.virsh("pool-destroy", "cold")
        try:
            assert world.cli.move("first", "--to", "lab-b").codes == ["used-elsewhere"]
        finally:
            world.virsh("pool-start", "cold")


def test_a_move_that_is_being_worked_on_is_not_resumed_by_another(guest: World) -> None:
    process = guest.cli.start(*_slow(guest))
    until(lambda: copying(guest, ["vdb"]), "the copy runs")

    second = guest.cli("resume", "--json")
    process.send_signal(signal.SIGINT)
    first = finished(process)

    assert (second.code, second.document["state"]) == (3, "refused")
    assert f"process {process.pid} works on move" in second.document["error"]["text"]
    assert first.code == 130


def test_a_source_that_can_not_be_deleted_is_told(guest: World) -> None:
    source = guest.path("vdb")
    process = guest.cli.start(*_slow(guest))
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    described = guest.virsh("pool-dumpxml", source.parent.name)
    guest.virsh("pool-destroy", source.parent.name)

    result = finished(process)
    guest.virsh("pool-start", source.parent.name)

    assert described
    assert (result.code, source.exists(), Path(result.document["disks"][0]["source"])) == (0, True, source)
    assert [f["code"] for f in result.document["findings"]] == ["source-kept"]
