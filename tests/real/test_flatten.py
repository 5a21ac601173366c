"""Chains that become one file: of a guest that is off (`test_chains.py` has one of a guest that runs)."""

import os
import signal
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host.command import run
from svmove.journal import Journal, Kind, Record
from svmove.model import DomainState
from svmove.units import MiB
from tests.real.test_chains import chain, content, lab_b, on, template, with_snapshots, write
from tests.real.world import World, disk, until


def record(world: World, name: str) -> Record:
    journal = Journal(str(world.cli.journal))
    return next(journal.read(summary.move) for summary in journal.moves(ended=True) if summary.domain == name)


def left(world: World, name: str) -> set[Path]:
    world.virsh("pool-refresh", "lab-a")
    return {path for path in world.files() if path.name.startswith(name)}


def snapped(world: World, name: str) -> list[Path]:
    """A guest that is off, whose two external snapshots libvirt has forgotten. Its chain, the top first."""
    files = with_snapshots(world, name)
    world.virsh("destroy", name)
    for number, path in enumerate(files):  # of each file the guest sees something
        write(path, 30 + number, number * 3 * MiB, "3M")
    before = world.files()
    refused = world.cli.move(name, "--to", "lab-b", "--flatten")
    assert (refused.code, refused.codes) == (3, ["flatten-snapshots"])
    for snapshot in ("s1", "s2"):
        world.virsh("snapshot-delete", name, snapshot, "--metadata")
    assert world.files() == before
    return files


def test_a_guest_with_two_snapshots_that_is_off_gets_one_file_though_svmove_is_killed(world: World) -> None:
    files = snapped(world, "one")
    seen = content(files[0])
    process = world.cli.start("move", "one", "--to", "lab-b", "--flatten", "--bandwidth", "1MiB/s")
    until(lambda: world.domain("one").marker is not None, "it has begun")
    until(lambda: record(world, "one").all(Kind.INTENT, "copy-layer") != (), "it copies")
    for path in files:  # nobody may write to any of them meanwhile
        with pytest.raises(HostError, match="another process using the image"):
            run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", str(path)])
    until(lambda: record(world, "one").all(Kind.FACT, "saved") != (), "a part of it is saved", 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    saved = record(world, "one").all(Kind.FACT, "saved")[-1].data["offset"]
    assert chain(world, "one") == files
    assert world.cli("set", record(world, "one").plan.move, "--bandwidth", "none").code == 0

    result = world.cli("resume", "--json")

    assert (result.code, result.document["state"], result.document["findings"]) == (0, "done", []), result.stdout
    assert [e.data["begin"] for e in record(world, "one").all(Kind.INTENT, "copy-layer")] == [0, saved]
    (moved,) = result.document["disks"]
    assert (moved["verified"], moved["format"]) == (True, "qcow2")
    assert world.domain("one").state is DomainState.OFF
    (copy,) = lab_b(world, files[0])
    assert chain(world, "one") == [copy]
    assert content(copy) == seen
    assert left(world, "one") == {copy}
    world.virsh("start", "one")
    assert world.where("one") == {"vda": "lab-b"}
    assert chain(world, "one") == [copy]


def test_a_chain_becomes_a_raw_file_and_its_template_stays_with_the_others_that_have_it(world: World) -> None:
    base = template(world)
    tops = [on(world, base, f"{name}.qcow2") for name in ("raw", "twin")]
    world.guest("raw", disk(tops[0]), start=False)
    world.guest("twin", disk(tops[1]))
    seen = content(tops[0])

    result = world.cli.move("raw", "--to", "lab-b", "--flatten", "--format", "raw")

    assert (result.code, result.document["state"]) == (0, "done"), result.stdout
    copy = world.lab.paths.pool("lab-b") / "raw.raw"
    (disk_,) = world.domain("raw").inactive
    assert (disk_.path, disk_.format) == (str(copy), "raw")
    assert content(copy, "raw") == seen
    assert copy.stat().st_blocks * 512 < 1 * MiB  # of 16: holes stay
    assert (base.exists(), tops[0].exists()) == (True, False)
    assert chain(world, "twin") == [tops[1], base]
    world.virsh("start", "raw")
    assert world.where("raw") == {"vda": "lab-b"}
