"""Moves by the method `snapshot`: frozen, copied out of process, proven before the switch, and one file in the end."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svmove.host.command import run
from svmove.journal import Kind, Record
from svmove.model import DomainState
from svmove.outcomes import Outcome, State
from svmove.policy import Policy, SpacePolicy
from svmove.requests import DiskRequest, Method, Request
from svmove.units import KiB, MiB
from tests.real.cli import finished
from tests.real.faults import storage
from tests.real.faults.points import wrapped
from tests.real.world import GUEST, World, disk, until

NO_RESERVE = Policy(space=SpacePolicy(reserve=0))


def journal_of(world: World, move: str | None = None) -> Record:
    mover = world.mover()
    return mover.journal.read(move or mover.open_moves()[-1])


def alone(world: World, name: str, format_: str, size: int = 32 * MiB, pool: str = "lab-a") -> Path:
    """A guest without an operating system, whose disk has data."""
    path = world.image(f"{name}.{format_}", str(size), format_, pool=pool)
    for at, byte in ((0, 1), (size // 2, 2), (size - 64 * KiB, 3)):
        run(["qemu-io", "-f", format_, "-c", f"write -P {byte} {at} 64k", str(path)])
    world.guest(name, disk(path, "vda", format_))
    return path


def content(path: Path, format_: str) -> str:
    """Of the image as a guest sees it."""
    flat = path.parent / "flat"
    try:
        run(["qemu-img", "convert", "-U", "-f", format_, "-O", "raw", str(path), str(flat)])
        return hashlib.sha256(flat.read_bytes()).hexdigest()
    finally:
        flat.unlink(missing_ok=True)


def snapshot_of_vdb(world: World, **more: Any) -> Request:
    return Request(
        domain=GUEST,
        to=more.pop("to", None) or world.other("vdb"),
        disks=(DiskRequest(target="vdb"),),
        method=Method.SNAPSHOT,
        **more,
    )


def moved(world: World, request: Request, act: Callable[[Any], None], policy: Policy | None = None) -> Outcome:
    """A move in which that happens once to a file that is being copied, whose path `act` is given."""
    left = [act]

    def around(name: str, method: Any, args: Any, kwargs: Any) -> Any:
        if name == "copy_image":
            saved = kwargs["saved"]

            def told(offset: int, end: int) -> bool:
                if left:
                    left.pop()(args[2])
                return bool(saved(offset, end))

            kwargs = {**kwargs, "saved": told}
        return method(*args, **kwargs)

    outcome = wrapped(world, around, policy=policy).move(request)
    assert not left, f"it never copied: {outcome}"
    return outcome


def assert_back(world: World, before: tuple[Any, ...], outcome: Outcome, code: str) -> None:
    """Rolled back, and the lab's guest runs on its one source file, as before."""
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, code), outcome.error
    assert (world.elements(), world.elements(GUEST, "--inactive"), world.files(), world.where()) == before
    assert [one.chain for one in world.domain().live] == [(), ()]
    assert world.domain().state is DomainState.RUNNING


def look(world: World) -> tuple[Any, ...]:
    return world.elements(), world.elements(GUEST, "--inactive"), world.files(), world.where()


def test_a_writing_guest_is_frozen_copied_proven_and_merged(guest: World) -> None:
    to, before = guest.other(), guest.elements()
    result = guest.cli.move(GUEST, "--to", to, "--method", "snapshot")

    assert (result.code, result.document["state"], result.document["error"]) == (0, "done", None), result.stdout
    assert guest.where() == {"vda": to, "vdb": to}
    assert all(disk["verified"] for disk in result.document["disks"])
    assert guest.elements() == before
    # One file a disk, as before: no overlay is left, here or there.
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}
    assert [disk.chain for disk in guest.domain().live] == [(), ()]


@pytest.mark.parametrize(
    ("format_", "verify", "proven"),
    [("raw", None, ["comparison"]), ("qcow2", "cutover", ["comparison"]), ("raw", "none", [])],
)
def test_a_disk_arrives_as_it_was_whichever_its_format_and_proof(
    world: World, format_: str, verify: str | None, proven: list[str]
) -> None:
    source = alone(world, "small", format_)
    before = content(source, format_)
    words = ("--verify", verify) if verify else ()
    result = world.cli.move("small", "--to", "lab-b", "--method", "snapshot", *words)
    assert result.document["state"] == "done", result.stdout
    assert result.document["disks"][0]["verified"] == (verify != "none")
    path = world.path("vda", "small")
    assert (path.parent.name, path.name, source.exists()) == ("lab-b", source.name, False)
    assert content(path, format_) == before
    record = journal_of(world, result.document["move"])
    assert [e.data["by"] for e in record.entries if e.what == "proven-layer"] == proven
    assert {file.name for file in world.files() if file.name.startswith("small")} == {source.name}


def test_a_kept_source_has_all_that_was_written_before_the_cutover_in_one_file(world: World) -> None:
    source = alone(world, "kept", "qcow2")
    result = world.cli.move("kept", "--to", "lab-b", "--method", "snapshot", "--keep-source")
    assert result.document["state"] == "done", result.stdout
    assert {file.name for file in world.files() if file.name.startswith("kept")} == {source.name}
    assert content(source, "qcow2") == content(world.path("vda", "kept"), "qcow2")


def test_a_copy_that_the_storage_did_not_keep_is_found_before_the_switch(guest: World) -> None:
    spoilt: list[str] = []

    def around(name: str, method: Any, args: Any, kwargs: Any) -> Any:
        if name == "shares_all":  # the first that is asked of a copy
            spoilt.append(args[1])
            run(["qemu-io", "-f", "raw", "-c", "write -P 85 1M 512", args[1]])
        return method(*args, **kwargs)

    before = look(guest)
    outcome = wrapped(guest, around).move(snapshot_of_vdb(guest))
    assert spoilt
    assert_back(guest, before, outcome, "copy-differs")


def mid_copy(world: World, least: float = 0.0) -> bool:
    """The out-of-process copy has begun; with `least`, and has said so many bytes are safe."""
    entries = journal_of(world).entries
    if not least:
        return any(e.what == "copy-layer" for e in entries)
    return any(e.what == "saved" and e.data["offset"] >= least for e in entries)


def begun(world: World, rate: str) -> Any:
    process = world.cli.start(
        "move", GUEST, "--to", world.other("vdb"), "--disk", "vdb", "--method", "snapshot", "--bandwidth", rate
    )
    until(lambda: bool(world.mover().open_moves()), "the move is in the journal")
    until(lambda: mid_copy(world), "it copies")
    return process


def test_a_copy_whose_svmove_was_killed_goes_on_where_it_was(guest: World) -> None:
    to = guest.other("vdb")
    process = begun(guest, "16MiB/s")
    move = journal_of(guest).plan.move
    until(lambda: mid_copy(guest, 1), "what was copied first is recorded")
    process.send_signal(signal.SIGKILL)
    finished(process)
    assert guest.domain().state is DomainState.RUNNING
    assert guest.cli("set", move, "--bandwidth", "none").code == 0
    result = guest.cli("resume", move, "--json")
    assert result.document["state"] == "done", result.stdout
    begins = [e.data["begin"] for e in journal_of(guest, move).entries if e.what == "copy-layer"]
    assert begins[0] == 0
    assert begins[1] >= 16 * MiB
    assert guest.path("vdb").parent.name == to
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}


def test_ctrl_c_in_mid_copy_gives_the_guest_its_one_source_file_back(guest: World) -> None:
    before = look(guest)
    process = begun(guest, "16MiB/s")
    process.send_signal(signal.SIGINT)
    assert finished(process).code == 130
    assert look(guest) == before


def test_a_guest_that_is_shut_off_in_mid_copy_starts_again_from_its_source_with_all_that_it_wrote(
    guest: World,
) -> None:
    files = guest.files()
    process = begun(guest, "16MiB/s")
    process.send_signal(signal.SIGKILL)
    finished(process)
    guest.virsh("destroy", GUEST)
    result = guest.cli("resume", "--json")
    assert result.document["state"] == "rolled-back", result.stdout
    assert guest.files() == files
    assert {Path(one.path or "") for one in guest.domain().inactive} == files
    guest.start_guest()


def test_a_destination_that_runs_full_is_told_as_such(guest: World) -> None:
    before = look(guest)
    with storage.small(guest, "500M") as pool:
        outcome = moved(
            guest,
            snapshot_of_vdb(guest, to=pool.name, bandwidth=16 * MiB),
            filling(pool, 4 * MiB),
            NO_RESERVE,
        )
        assert_back(guest, before, outcome, "no-space")
        assert {path.name for path in pool.folder.iterdir()} == {"filling", "lost+found"}


def filling(pool: storage.Pool, leave: int) -> Callable[[str], None]:
    def act(_path: str) -> None:
        storage.fill(pool.folder, leave)

    return act


def in_small_pool(world: World, pool: storage.Pool) -> None:
    outcome = world.mover(policy=NO_RESERVE).move(
        Request(domain=GUEST, to=pool.name, disks=(DiskRequest(target="vdb"),))
    )
    assert outcome.state is State.DONE, outcome


def out_of_small_pool(world: World) -> None:
    world.tidy()
    outcome = world.mover().move(Request(domain=GUEST, to="lab-a", disks=(DiskRequest(target="vdb"),)))
    assert outcome.state is State.DONE, outcome


def test_a_source_that_runs_full_makes_the_move_give_way_and_not_the_guest(guest: World) -> None:
    with storage.small(guest, "900M") as pool:
        in_small_pool(guest, pool)
        try:
            before = look(guest)
            outcome = moved(
                guest,
                snapshot_of_vdb(guest, to="lab-a", bandwidth=16 * MiB),
                filling(pool, 100 * MiB),
                Policy(space=SpacePolicy(reserve=100 * MiB)),
            )
            assert_back(guest, before, outcome, "no-overlay-space")
            assert {path.name for path in pool.folder.iterdir()} == {
                "filling",
                "lost+found",
                before[3]["vdb"] and guest.path("vdb").name,
            }
        finally:
            (pool.folder / "filling").unlink(missing_ok=True)
            out_of_small_pool(guest)


def test_a_guest_that_could_not_write_into_its_overlay_goes_on_when_it_has_none_any_more(guest: World) -> None:
    """Somebody else fills the source pool faster than anybody can look."""
    with storage.small(guest, "900M") as pool:
        in_small_pool(guest, pool)
        try:
            before = look(guest)

            def fill(_path: str) -> None:
                storage.fill(pool.folder, 64 * KiB)
                until(lambda: guest.domain().io_error, "the guest is paused")

            outcome = moved(guest, snapshot_of_vdb(guest, to="lab-a", bandwidth=16 * MiB), fill, NO_RESERVE)
            assert outcome.error is not None
            assert_back(guest, before, outcome, outcome.error.code)
            assert outcome.error.code in ("no-overlay-space", "guest-io-error")
        finally:
            (pool.folder / "filling").unlink(missing_ok=True)
            out_of_small_pool(guest)


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_on_one_file_system_no_byte_is_copied_and_the_proof_reads_none(world: World, format_: str) -> None:
    size = 64 * MiB
    with storage.made(world, "1200M", "xfs") as folder:
        (folder / "one").mkdir()
        (folder / "two").mkdir()
        with storage.pool(world, folder / "one", "one"), storage.pool(world, folder / "two", "two"):
            path = folder / "one" / f"shared.{format_}"
            run(["qemu-img", "create", "-q", "-f", format_, str(path), str(size)])
            run(["qemu-io", "-f", format_, "-c", f"write -P 5 0 {size}", str(path)])
            world.virsh("pool-refresh", "one")
            world.guest("shared", disk(path, "vda", format_))
            try:
                free = os.statvfs(folder).f_bavail
                result = world.cli.move("shared", "--to", "two", "--method", "snapshot", "--keep-source")
                assert result.document["state"] == "done", result.stdout
                entries = journal_of(world, result.document["move"]).all(Kind.FACT, "layer")
                assert [entry.data["way"] for entry in entries] == ["reflink"]
                proofs = journal_of(world, result.document["move"]).all(Kind.FACT, "proven-layer")
                assert [entry.data["by"] for entry in proofs] == ["shared extents"]
                assert (free - os.statvfs(folder).f_bavail) * os.statvfs(folder).f_frsize < size / 4
                assert world.path("vda", "shared") == folder / "two" / path.name
            finally:
                world.virsh("destroy", "shared")
                world.virsh("undefine", "shared")
