"""Disks that are larger than what is free on their file system: they move where their extents can be shared."""

import os
from pathlib import Path
from typing import Any

from svmove.host.command import run
from svmove.journal import Journal, Kind
from svmove.model import CopyWay
from svmove.outcomes import State
from svmove.policy import Policy
from svmove.requests import Request
from svmove.units import MiB
from tests.real.faults import storage
from tests.real.faults.points import wrapped
from tests.real.world import World, disk


def filled(path: Path, size: int) -> Path:
    run(["qemu-img", "create", "-q", "-f", "raw", str(path), str(size)])
    run(["qemu-io", "-f", "raw", "-c", f"write -P 5 0 {size}", str(path)])
    return path


def free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def ways(world: World, move: str) -> list[str]:
    return [entry.data["way"] for entry in Journal(str(world.cli.journal)).read(move).all(Kind.FACT, "layer")]


def test_a_disk_that_is_larger_than_what_is_free_moves_while_its_guest_runs_and_while_it_is_off(world: World) -> None:
    size = 512 * MiB
    with storage.made(world, "1000M", "xfs") as folder:
        (folder / "one").mkdir()
        (folder / "two").mkdir()
        with storage.pool(world, folder / "one", "one"), storage.pool(world, folder / "two", "two"):
            path = filled(folder / "one" / "big.img", size)
            world.virsh("pool-refresh", "one")
            world.guest("big", disk(path, "vda", "raw"))
            try:
                left = free(folder)
                assert left < size
                for words in (("--method", "mirror"), ("--method", "snapshot", "--keep-source")):
                    refused = world.cli.move("big", "--to", "two", *words)
                    assert refused.codes == ["no-space"], refused.stdout

                live = world.cli.move("big", "--to", "two", "--method", "snapshot")
                assert (live.code, live.document["state"], live.document["findings"]) == (0, "done", []), live.stdout
                assert ways(world, live.document["move"]) == ["reflink"]
                assert world.where("big") == {"vda": "two"}
                assert abs(free(folder) - left) < 16 * MiB

                world.virsh("destroy", "big")
                off = world.cli.move("big", "--to", "one")
                assert (off.code, off.document["state"], off.document["findings"]) == (0, "done", []), off.stdout
                assert ways(world, off.document["move"]) == ["reflink"]
                assert [file.name for file in folder.glob("*/*")] == ["big.img"]
                assert abs(free(folder) - left) < 16 * MiB
                run(["qemu-io", "-f", "raw", "-r", "-c", f"read -P 5 0 {size}", str(path)])
                world.virsh("start", "big")
                assert world.where("big") == {"vda": "one"}
            finally:
                world.virsh("destroy", "big")
                world.virsh("undefine", "big")


def test_a_copy_that_was_planned_to_share_and_can_not_ends_before_a_byte_of_it_is_written(world: World) -> None:
    """Such as when another file system was mounted since the plan."""
    size = 300 * MiB
    path = filled(world.lab.paths.pool("lab-a") / "far.img", size)
    world.virsh("pool-refresh", "lab-a")
    world.guest("far", disk(path, "vda", "raw"), start=False)
    with storage.small(world, "400M") as pool:
        least = [free(pool.folder)]
        assert least[0] < size + Policy().space.reserve

        def around(name: str, method: Any, args: Any, kwargs: Any) -> Any:
            if name == "offload":
                return CopyWay.REFLINK
            least.append(free(pool.folder))
            return method(*args, **kwargs)

        outcome = wrapped(world, around).move(Request(domain="far", to=pool.name))
        assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "no-space"), outcome
        assert outcome.error is not None
        assert "can't share the extents" in outcome.error.text
        assert {file.name for file in pool.folder.iterdir()} == {"lost+found"}
        assert min(least) > least[0] - 4 * MiB
    assert [Path(one.path or "") for one in world.domain("far").inactive] == [path]
    assert world.domain("far").marker is None


def test_what_shares_its_room_with_another_file_is_told_to_take_room_of_its_own(world: World) -> None:
    size = 64 * MiB
    with storage.made(world, "1000M", "xfs") as folder, storage.pool(world, folder, "reflinks"):
        path = filled(folder / "one.img", size)
        run(["cp", "--reflink=always", str(path), str(folder / "its-clone.img")])
        world.virsh("pool-refresh", "reflinks")
        world.guest("cloned", disk(path, "vda", "raw"))
        moved = world.cli.move("cloned", "--to", "lab-b")
        assert (moved.code, moved.document["state"]) == (0, "done"), moved.stdout
        assert [(f["code"], f["target"]) for f in moved.document["findings"]] == [("reflink", "vda")]
        assert "64.0 MiB share their room" in moved.document["findings"][0]["text"]
        (arrived,) = (Path(d["destination"]) for d in moved.document["disks"])
        assert arrived.stat().st_blocks * 512 >= size
        world.virsh("destroy", "cloned")
