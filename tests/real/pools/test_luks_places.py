"""Disks in LUKS on what is no file: partitions, LUNs, images in Ceph, NBD exports. Live, in and out, with two keys."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from svmove.journal import Journal, Kind
from svmove.location import Secret
from svmove.units import GiB, MiB
from svmove.volumes import LUKS_HEADER
from tests.real.faults.test_kills import kill_at
from tests.real.pools import luks
from tests.real.pools.blocks import partitions
from tests.real.pools.ceph import POOL, ceph, rbd_pool
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.pools.places import capacity, described, home
from tests.real.pools.secrets import secret, set_value
from tests.real.pools.test_luks import PASSPHRASE, SMALL, keys, locked, silently, to
from tests.real.world import GUEST, World

SIZE = GiB  # of the guest's vdb
MAGIC = b"LUKS\xba\xbe"
Read = Callable[[], bytes]


@contextmanager
def partition(world: World, length: int) -> Iterator[tuple[str, Read]]:
    with partitions(world, length, [length]) as device:
        name = f"{Path(device).name}p1"
        yield f"vdb=parts,name={name}", lambda: head(Path(f"/dev/{name}"))


@contextmanager
def lun(world: World, length: int) -> Iterator[tuple[str, Read]]:
    with iscsi(world.network, world.folder / "iscsi", [length]) as target, iscsi_pool(world, target):
        yield "vdb=luns,name=unit:0:0:1", lambda: head(target.luns[0])


@contextmanager
def image(world: World, _length: int) -> Iterator[tuple[str, Read]]:
    with ceph(world.network, world.folder / "ceph") as cluster, rbd_pool(world, cluster):
        copy = world.folder / "head"

        def read() -> bytes:
            cluster("rbd", "export", f"{POOL}/locked", str(copy))
            return head(copy)

        yield "vdb=ceph,name=locked", read


@contextmanager
def export(world: World, length: int) -> Iterator[tuple[str, Read]]:
    with nbd(world.network, world.folder / "nbd", length) as server:
        yield f"vdb={server.uri('disk')}", lambda: head(server.folder / "disk")


def head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


@pytest.mark.parametrize(("place", "more"), [(partition, 3 * MiB), (lun, 3 * MiB), (image, 0), (export, 0)])
def test_a_disk_goes_into_luks_where_no_file_is_and_out_with_another_key(
    away: World, place: Callable[..., AbstractContextManager[tuple[str, Read]]], more: int
) -> None:
    with (
        luks.passphrase(away, "one", PASSPHRASE) as one,
        luks.passphrase(away, "two", b"another"),
        place(away, SIZE + LUKS_HEADER + more) as (where, read),
    ):
        try:
            result = silently(away, where, "--encrypt", one)
            codes = {finding["code"] for finding in result.document["findings"]}
            assert ("slice" in codes) == bool(more)
            assert keys(away) == [("raw", [one])] * 2
            assert read()[:6] == MAGIC
            for options in ((), ("--inactive",)):
                sizes = [one.get("size") for one in described(away, "vdb", *options).iterfind("source/slices/slice")]
                assert sizes == ([str(SIZE + LUKS_HEADER)] if more else [])
            assert capacity(away, "vdb") == SIZE
            away.lab.check()

            away.virsh("destroy", GUEST)  # QEMU opens it anew, by its header
            away.start_guest()
            away.lab.check()

            to(away, "vdb=lab-b,name=again.img", "--encrypt", "two")
            (found,) = (disk for disk in away.domain().live if disk.target == "vdb")
            assert found.luks == Secret(usage="two")
            assert capacity(away, "vdb") == SIZE

            to(away, where, "--overwrite")  # with the key that it has
            assert keys(away) == [("raw", [None])] * 2
            to(away, "vdb=lab-a,name=lab-guest-vdb.img", "--decrypt")
            assert keys(away) == [("raw", [])] * 2
        finally:
            home(away, "vdb")
        away.lab.check()


def test_what_has_no_room_for_the_header_or_no_key_that_can_be_used_is_refused(world: World) -> None:
    sizes = [SMALL, SMALL + LUKS_HEADER - 512, SMALL + LUKS_HEADER]
    with (
        luks.passphrase(world, "disk", PASSPHRASE) as uuid,
        secret(world, b"hidden", "volume", "private", private=True) as private,
        iscsi(world.network, world.folder / "iscsi", sizes) as target,
        iscsi_pool(world, target),
    ):
        locked(world, "locked", uuid)
        before = [lun.read_bytes() for lun in target.luns]

        def codes(number: int, *words: str) -> list[str]:
            return world.cli.move("locked", "--disk", f"vda=luns,name=unit:0:0:{number}", *words).codes

        too_small = world.cli.move("locked", "--disk", "vda=luns,name=unit:0:0:2")
        assert (too_small.code, too_small.codes) == (3, ["volume-too-small"])
        assert f"{SMALL + LUKS_HEADER} bytes with its LUKS header of {LUKS_HEADER}" in too_small.stdout
        assert codes(1) == ["volume-too-small"]
        assert codes(3, "--encrypt", private) == ["secret-private"]
        assert codes(3, "--encrypt", private, "--verify", "none") == ["secret-private"]
        assert codes(3, "--encrypt", "nobody") == ["secret-missing"]
        with target.luns[2].open("r+b") as file:
            file.write(b"somebody's")
        assert codes(3) == ["not-blank"]
        with target.luns[2].open("r+b") as file:
            file.write(bytes(16))
        assert [lun.read_bytes() for lun in target.luns] == before

        to(world, "vda=luns,name=unit:0:0:3", name="locked")
        set_value(world, uuid, b"not that one")
        back = "vda=lab-b,name=back.img"
        assert world.cli.move("locked", "--disk", back).codes == ["wrong-key"]
        set_value(world, uuid, PASSPHRASE)
        to(world, back, "--decrypt", name="locked")


def begun(world: World, where: str, *words: str) -> tuple[str, Journal]:
    """A move of the small guest whose svmove was killed when it had just written the header, and did not know that."""
    kill_at(world, "write_header", 1, "after", "move", "locked", "--disk", where, *words)
    journal = Journal(str(world.cli.journal))
    move = world.domain("locked").marker or ""
    record = journal.read(move)
    assert record.last(Kind.INTENT, "encrypt", "vda") is not None
    assert record.last(Kind.FACT, "encrypted", "vda") is None
    return move, journal


def test_a_header_that_is_half_written_is_written_anew_and_a_lun_is_never_deleted(world: World) -> None:
    with (
        luks.passphrase(world, "disk", PASSPHRASE) as uuid,
        iscsi(world.network, world.folder / "iscsi", [SMALL + LUKS_HEADER + MiB]) as target,
        iscsi_pool(world, target),
    ):
        where = "vda=luns,name=unit:0:0:1"
        source = locked(world, "locked", uuid)
        move, journal = begun(world, where)
        result = world.cli("cancel", move, "--json")
        assert (result.document["state"], result.document["error"]["guest_on"]) == ("rolled-back", "source")
        assert result.document["disks"][0]["overwritten"]
        assert (source.exists(), target.luns[0].exists()) == (True, True)
        assert world.cli("gc", "--yes", "--json").code == 0
        assert head(target.luns[0])[:6] == MAGIC
        assert world.cli.move("locked", "--disk", where).codes == ["not-blank"]

        move, journal = begun(world, where, "--overwrite")
        with target.luns[0].open("r+b") as file:  # of one that was cut off
            file.seek(1024)
            file.write(b"\xaa" * LUKS_HEADER)
        result = world.cli("resume", "--json")
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout + result.stderr
        assert len(journal.read(move).all(Kind.INTENT, "encrypt")) == 2
        world.virsh("destroy", "locked")
        world.virsh("start", "locked")
        assert target.luns[0].read_bytes()[SMALL + LUKS_HEADER :] == bytes(MiB), "it wrote beyond the disk"
        to(world, "vda=lab-b,name=back.img", "--decrypt", name="locked")


def test_an_image_whose_header_is_half_written_is_deleted_on_the_way_back_and_no_other_one(world: World) -> None:
    with (
        luks.passphrase(world, "disk", PASSPHRASE) as uuid,
        ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster,
        rbd_pool(world, cluster),
    ):
        cluster("rbd", "create", "--size", "8M", f"{POOL}/theirs")
        locked(world, "locked", uuid)
        move, _ = begun(world, "vda=ceph,name=locked")
        assert cluster("rbd", "ls", POOL).split() == ["locked", "theirs"]
        result = world.cli("cancel", move, "--json")
        assert result.document["state"] == "rolled-back", result.stdout
        assert cluster("rbd", "ls", POOL) == "theirs"
