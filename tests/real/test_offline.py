"""Moves of guests that are off: copied under a lock, proven, and redefined."""

import os
import signal
from pathlib import Path

import pytest

from svmove.host.command import run
from svmove.journal import Journal, Kind, Record
from svmove.lab.errors import LabError
from svmove.model import DomainState
from svmove.units import KiB
from tests.real.cli import Result, finished
from tests.real.faults import storage
from tests.real.world import World, disk, uefi, until

# 24 MiB of data: 4 s at 6 MiB/s.
SIZE, SLOWLY = "24M", "6MiB/s"


def filled(world: World, name: str, format_: str = "qcow2", size: str = SIZE) -> Path:
    path = world.image(name, size, format_)
    run(["qemu-io", "-f", format_, "-c", f"write -P 11 0 {size}", "-c", "write -P 12 1M 64k", str(path)])
    return path


def starts_from(world: World, name: str) -> dict[str, Path]:
    return {disk.target: Path(disk.path or "") for disk in world.domain(name).inactive}


def moved(world: World, name: str, *words: str) -> Result:
    result = world.cli.move(name, "--to", "lab-b", *words)
    assert (result.code, result.document["state"], result.document["error"]) == (0, "done", None), result.stdout
    assert result.document["method"] == "offline"
    assert world.domain(name).state is DomainState.OFF
    assert world.domain(name).marker is None
    return result


def record(world: World, name: str) -> Record:
    journal = Journal(str(world.cli.journal))
    return next(journal.read(summary.move) for summary in journal.moves(ended=True) if summary.domain == name)


def in_mid_copy(world: World, name: str, at: int = 1 << 20) -> None:
    """So much of the copy has arrived."""
    copy = world.lab.paths.pool("lab-b") / f"{name}.img"
    until(lambda: copy.exists() and copy.stat().st_blocks * 512 > at, "the copy is under way", 60)


def test_disks_of_a_guest_that_is_off_go_over_in_their_formats_and_the_guest_starts_from_them(world: World) -> None:
    one, other = filled(world, "cold.qcow2"), filled(world, "cold.img", "raw")
    kept = {path: world.folder / f"kept-{path.name}" for path in (one, other)}
    for path, copy in kept.items():
        run(["cp", str(path), str(copy)])
    world.guest("cold", disk(one), disk(other, "vdb", "raw"), start=False)
    result = moved(world, "cold", "--disk", "vda,format=raw", "--disk", "vdb,format=qcow2")

    assert {d["target"]: (d["format"], d["verified"], d["on"]) for d in result.document["disks"]} == {
        "vda": ("raw", True, "destination"),
        "vdb": ("qcow2", True, "destination"),
    }
    assert not one.exists()
    assert not other.exists()
    found = starts_from(world, "cold")
    assert {path.parent.name for path in found.values()} == {"lab-b"}
    run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", str(kept[one]), str(found["vda"])])
    run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(kept[other]), str(found["vdb"])])
    world.virsh("start", "cold")
    assert world.where("cold") == {"vda": "lab-b", "vdb": "lab-b"}


def test_disks_of_a_guest_that_is_off_change_places_and_formats_at_once(world: World) -> None:
    one, two = filled(world, "here.qcow2", size="8M"), world.image("there.img", "8M", "raw", pool="lab-b")
    run(["qemu-io", "-f", "raw", "-c", "write -P 41 0 8M", str(two)])
    world.guest("swap", disk(one), disk(two, "vdb", "raw"), start=False)

    result = world.cli.move("swap", "--disk", "vda=lab-b,format=raw", "--disk", "vdb=lab-a,format=qcow2,name=two.qcow2")

    assert (result.code, result.document["state"], result.document["findings"]) == (0, "done", []), result.stdout
    now = starts_from(world, "swap")
    assert {target: path.relative_to(path.parent.parent).as_posix() for target, path in now.items()} == {
        "vda": "lab-b/here.raw",
        "vdb": "lab-a/two.qcow2",
    }
    run(["qemu-io", "-f", "raw", "-r", "-c", "read -P 11 0 1M", "-c", "read -P 12 1M 64k", str(now["vda"])])
    run(["qemu-io", "-f", "qcow2", "-r", "-c", "read -P 41 0 8M", str(now["vdb"])])
    assert not one.exists()
    assert not two.exists()
    world.virsh("start", "swap")
    assert world.where("swap") == {"vda": "lab-b", "vdb": "lab-a"}


def test_internal_snapshots_are_kept_and_one_can_be_gone_back_to(world: World) -> None:
    path = filled(world, "old.qcow2", size="8M")
    world.guest("old", disk(path), start=False)
    world.virsh("snapshot-create-as", "old", "before-upgrade")
    run(["qemu-io", "-c", "write -P 99 0 1M", str(path)])
    listed = run(["qemu-img", "snapshot", "-l", str(path)])
    assert "before-upgrade" in listed
    moved(world, "old")
    now = starts_from(world, "old")["vda"]
    assert run(["qemu-img", "snapshot", "-l", str(now)]) == listed
    run(["qemu-io", "-r", "-c", "read -P 99 0 1M", str(now)])
    world.virsh("snapshot-revert", "old", "before-upgrade")
    assert starts_from(world, "old")["vda"] == now
    run(["qemu-io", "-r", "-c", "read -P 11 0 1M", "-c", "read -P 12 1M 64k", str(now)])


def test_a_chain_that_only_the_images_know_goes_over_link_by_link(world: World) -> None:
    base = filled(world, "link-base.img", "raw", "8M")
    middle = world.image("link-mid.qcow2", "8M", "qcow2", "-b", str(base), "-F", "raw")
    top = world.image("link.qcow2", "8M", "qcow2", "-b", str(middle), "-F", "qcow2")
    run(["qemu-io", "-c", "write -P 21 2M 64k", str(middle)])
    run(["qemu-io", "-c", "write -P 22 3M 64k", str(top)])
    world.guest("link", disk(top), start=False)
    assert [one.chain for one in world.domain("link").inactive] == [()]
    moved(world, "link")

    folder = world.lab.paths.pool("lab-b")
    assert starts_from(world, "link") == {"vda": folder / top.name}
    assert not any(path.exists() for path in (base, middle, top))
    read = [f"read -P {value} {at} 64k" for value, at in ((11, 0), (12, "1M"), (21, "2M"), (22, "3M"))]
    run(["qemu-io", "-r", *(word for one in read for word in ("-c", one)), str(folder / top.name)])
    world.virsh("start", "link")
    (live,) = world.domain("link").live
    assert live.chain == (str(folder / middle.name), str(folder / base.name))


def test_a_start_in_mid_copy_fails_at_the_lock_and_the_move_goes_on(world: World) -> None:
    path = filled(world, "eager.img", "raw")
    world.guest("eager", disk(path, format_="raw"), start=False)
    process = world.cli.start("move", "eager", "--to", "lab-b", "--bandwidth", SLOWLY, "--json")
    in_mid_copy(world, "eager")
    with pytest.raises(LabError, match='Failed to get "write" lock'):
        world.virsh("start", "eager")
    assert process.poll() is None, "it was over before the guest was started"
    result = finished(process)
    assert (result.code, result.document["state"]) == (0, "done"), result.stdout
    world.virsh("start", "eager")
    assert world.where("eager") == {"vda": "lab-b"}


def test_a_move_to_another_file_system_that_was_killed_in_mid_copy_goes_on_where_it_was(world: World) -> None:
    path = filled(world, "cut.qcow2", size="48M")
    world.guest("cut", disk(path), start=False)
    world.virsh("snapshot-create-as", "cut", "inside")
    listed = run(["qemu-img", "snapshot", "-l", str(path)])
    with storage.small(world, "600M") as pool:
        process = world.cli.start("move", "cut", "--to", pool.name, "--bandwidth", "4MiB/s")
        until(lambda: world.domain("cut").marker is not None, "it has begun")
        until(lambda: record(world, "cut").all(Kind.FACT, "saved") != (), "a part of it is saved", 60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        saved = record(world, "cut").all(Kind.FACT, "saved")[-1].data["offset"]
        assert saved > 0
        move = record(world, "cut").plan.move
        assert world.cli("set", move, "--bandwidth", "none").code == 0
        result = world.cli("resume", "--json")
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout
        assert [e.data["begin"] for e in record(world, "cut").all(Kind.INTENT, "copy-layer")] == [0, saved]
        assert [(d["verified"], d["way"]) for d in result.document["disks"]] == [(True, "qemu-img")]
        assert not path.exists()
        now = starts_from(world, "cut")["vda"]
        assert run(["qemu-img", "snapshot", "-l", str(now)]) == listed
        run(["qemu-io", "-r", "-c", "read -P 11 2M 46M", str(now)])
        run(["qemu-img", "check", "-q", str(now)])


def test_uefi_variables_in_a_pool_stay_while_the_guest_runs_and_go_over_when_it_is_off(world: World) -> None:
    old, new = (world.lab.paths.pool(name) / "home_VARS.fd" for name in ("lab-a", "lab-b"))
    world.guest("home", disk(filled(world, "home.qcow2", size="8M")), start=False)
    uefi(world, "home", old)
    world.virsh("start", "home")  # libvirt makes the file then, and the pool knows nothing of it

    live = world.cli("plan", "home", "--to", "lab-b", "--json").document
    (note,) = [one for one in live["findings"] if one["code"] == "nvram"]
    assert (note["level"], f"{old}, in pool lab-a: QEMU has them open" in note["text"]) == ("note", True)
    assert [one["target"] for one in live["disks"]] == ["vda"]
    world.virsh("destroy", "home")

    run(["qemu-io", "-f", "raw", "-c", "write -P 77 500k 4k", str(old)])  # what no template has
    before = old.read_bytes()
    with world.host.locked(str(old)), pytest.raises(LabError, match='Failed to get "write" lock'):
        world.virsh("start", "home")
    result = moved(world, "home")
    assert {one["target"]: (one["verified"], one["on"], one["destination"]) for one in result.document["disks"]} == {
        "vda": (True, "destination", str(new.with_name("home.qcow2"))),
        "nvram": (True, "destination", str(new)),
    }
    assert not old.exists()
    assert new.read_bytes() == before
    assert world.domain("home").inactive_nvram == str(new)

    world.virsh("start", "home")
    process = world.host.process(world.domain("home").uuid)
    assert process is not None
    assert world.host.holds(process, str(new))
    assert not old.exists()
    world.virsh("destroy", "home")
    assert new.read_bytes()[500 * KiB : 504 * KiB] == bytes([77]) * 4 * KiB


def test_what_is_there_already_is_left_alone(world: World) -> None:
    path = filled(world, "there.qcow2", size="8M")
    world.guest("there", disk(path), start=False)
    before = path.stat()
    result = world.cli.move("there", "--to", "lab-a")
    assert (result.code, result.document["state"]) == (0, "already-there")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_five_wrong_requests_are_refused_with_a_remedy_and_nothing_is_touched(world: World) -> None:
    path, running = filled(world, "wrong.qcow2", size="8M"), filled(world, "runs.qcow2", size="8M")
    below = world.image("wrong-top.qcow2", "8M", "qcow2", "-b", str(path), "-F", "qcow2")
    run(["qemu-img", "snapshot", "-c", "old", str(running)])
    world.guest("runs", disk(running))
    world.guest("wrong", disk(below), start=False)
    world.guest("snapped", disk(filled(world, "snapped.qcow2", size="8M")), start=False)
    run(["qemu-img", "snapshot", "-c", "old", str(starts_from(world, "snapped")["vda"])])
    top = world.image(
        "chained-top.qcow2", "8M", "qcow2", "-b", str(starts_from(world, "snapped")["vda"]), "-F", "qcow2"
    )
    world.guest("chained", disk(top), start=False)
    before = world.files()
    for codes, words in (
        (["domain-on"], ("runs", "--method", "offline")),
        (["internal-snapshots"], ("runs",)),
        (["domain-off"], ("snapped", "--method", "mirror")),
        (["internal-snapshots"], ("snapped", "--format", "raw")),
        (["raw-chain"], ("wrong", "--format", "raw")),
        (["internal-snapshots"], ("chained", "--flatten")),
    ):
        result = world.cli.move(*words, "--to", "lab-b")
        found = [f for f in result.document["findings"] if f["level"] == "refuse"]
        assert result.code == 3, result.stdout
        assert set(codes) <= {f["code"] for f in found}, (words, found)
        assert all(f["remedy"] for f in found)
    assert world.files() == before


def test_a_saved_state_that_names_the_old_files_is_not_left_without_them(world: World) -> None:
    path = filled(world, "sleeper.qcow2", size="8M")
    world.guest("sleeper", disk(path))
    world.virsh("managedsave", "sleeper")
    result = world.cli.move("sleeper", "--to", "lab-b")
    assert (result.code, result.codes) == (3, ["managed-save"])
    world.virsh("start", "sleeper")
    assert world.where("sleeper") == {"vda": "lab-a"}
