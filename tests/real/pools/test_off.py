"""Disks of guests that are off, between any two kinds of place: every byte arrives, and nothing old is left there; the
guest starts from it; and whoever is killed, cancelled, or comes in between."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from lxml import etree

from svmove.host.command import run
from svmove.journal import Journal, Kind, Record
from svmove.model import DomainState
from svmove.units import GiB, MiB
from svmove.volumes import LUKS_HEADER
from tests.real.cli import Result, finished
from tests.real.pools import luks
from tests.real.pools.blocks import partitions
from tests.real.pools.ceph import ceph, rbd_pool
from tests.real.pools.iscsi import Iscsi, iscsi, iscsi_pool
from tests.real.pools.nbd import nbd
from tests.real.world import GUEST, World, disk, until

SIZE = 48 * MiB
NAME = "cold"
PASSPHRASE = b"one that is given back"
RATE = "1200KiB/s"
LUN = "vda=luns,name=unit:0:0:1"
OLD = b"\xaa"  # what is on a volume before


class Cold:
    """A guest that is off, with 20 MiB of data, a hole, and something at its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = world.image(f"{NAME}.img", str(SIZE), "raw")
        with self.source.open("r+b") as file:
            file.write(os.urandom(20 * MiB))
            file.seek(SIZE - 4096)
            file.write(os.urandom(4096))
        self.bytes = self.source.read_bytes()
        world.guest(NAME, disk(self.source, format_="raw"), start=False)

    def goes(self, where: str, *words: str, finds: Sequence[str] = ()) -> str:
        """To where it lies then."""
        return arrived(self.world, self.world.cli.move(NAME, "--disk", where, *words), finds)

    def begun(self, where: str) -> "tuple[subprocess.Popen[str], str]":
        """A move in its midst, 12 s of which are left, and its id."""
        process = self.world.cli.start("move", NAME, "--disk", where, "--overwrite", "--bandwidth", RATE, "--json")
        until(lambda: self.world.domain(NAME).marker is not None, "it has begun", 60)
        move = self.world.domain(NAME).marker or ""
        until(lambda: self.record(move).all(Kind.FACT, "saved") != (), "a part of it is saved", 60)
        return process, move

    def cut_off(self, where: str) -> str:
        """The move, whose svmove was killed in its midst; from then on without a limit."""
        process, move = self.begun(where)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert self.world.cli("set", move, "--bandwidth", "none").code == 0
        return move

    def record(self, move: str) -> Record:
        return Journal(str(self.world.cli.journal)).read(move)

    def path(self, *, live: bool = False) -> str:
        domain = self.world.domain(NAME)
        (found,) = domain.live if live else domain.inactive
        assert found.path is not None
        return found.path

    def starts(self) -> etree._Element:
        """Its source, live, where libvirt and QEMU take what the move has written."""
        self.world.virsh("start", NAME)
        domain = self.world.domain(NAME)
        assert domain.state is DomainState.RUNNING
        assert self.path(live=True) == self.path()
        found = etree.fromstring(self.world.virsh("dumpxml", NAME).encode()).find("devices/disk/source")
        assert found is not None
        self.world.virsh("destroy", NAME)
        return found


def arrived(world: World, result: Result, finds: Sequence[str] = ()) -> str:
    document = result.document
    assert result.code == 0, json.dumps(document, indent=1) + result.stderr
    (moved,) = document["disks"]
    assert (document["method"], document["state"]) == ("offline", "done")
    assert (moved["verified"], moved["mismatches"], moved["on"]) == (True, [], "destination")
    codes = {finding["code"] for finding in document["findings"]} - {"thinness", "not-in-a-pool"}
    assert codes == set(finds)
    domain = world.domain(document["domain"])
    assert (domain.state, domain.marker) == (DomainState.OFF, None)
    (path,) = (one.path for one in domain.inactive if one.target == moved["target"])
    assert path == moved["destination"]
    assert path is not None
    return path


@pytest.fixture
def cold(world: World) -> Cold:
    return Cold(world)


@contextmanager
def luns(world: World, *sizes: int) -> Iterator[Iscsi]:
    """Full of something old."""
    with iscsi(world.network, world.folder / "iscsi", sizes) as target, iscsi_pool(world, target):
        for lun, size in zip(target.luns, sizes, strict=True):
            lun.write_bytes(OLD * size)
        yield target


@pytest.mark.chosen
def test_a_disk_goes_to_a_larger_lun_that_had_something_in_it_and_comes_back(cold: Cold) -> None:
    with luns(cold.world, SIZE + 8 * MiB) as target:
        assert cold.world.cli.move(NAME, "--disk", LUN).codes == ["not-blank"]
        path = cold.goes(LUN, "--overwrite", finds=["slice"])
        assert path.startswith("iscsi://")
        assert not cold.source.exists()
        lun = target.luns[0].read_bytes()
        assert lun[:SIZE] == cold.bytes, "what was there before shows through"
        assert lun[SIZE:] == OLD * (8 * MiB), "it wrote beyond the disk"
        (size,) = (one.get("size") for one in cold.starts().iterfind("slices/slice"))
        assert size == str(SIZE)
        back = Path(cold.goes("vda=lab-a,name=back.img"))
        assert back.read_bytes() == cold.bytes
        assert back.stat().st_blocks * 512 < 24 * MiB
        assert cold.starts().find("slices") is None
        assert target.luns[0].read_bytes() == lun, "a LUN that was left was touched"


def test_the_writing_guest_goes_from_place_to_place_while_it_is_off_and_starts_in_each(guest: World) -> None:
    world, size, other = guest, GiB, "lab-b"
    with ExitStack() as stack:
        cluster = stack.enter_context(ceph(world.network, world.folder / "ceph"))
        stack.enter_context(rbd_pool(world, cluster))
        stack.enter_context(
            iscsi_pool(world, stack.enter_context(iscsi(world.network, world.folder / "iscsi", [size + MiB])))
        )
        server = stack.enter_context(nbd(world.network, world.folder / "nbd", size))
        device = stack.enter_context(partitions(world, size + MiB, [size + MiB]))
        walk = [
            (f"vdb={other},name=vdb.qcow2,format=qcow2", ()),
            ("vdb=ceph,name=vdb", ()),
            ("vdb=luns,name=unit:0:0:1", ("slice",)),
            (f"vdb={server.uri('disk')}", ()),
            (f"vdb=parts,name={Path(device).name}p1", ("slice",)),
            ("vdb=ceph,name=again", ()),
            ("vdb=lab-a,name=lab-guest-vdb.img,format=raw", ()),
        ]
        try:
            for where, finds in walk:
                world.virsh("destroy", GUEST)
                before = world.host.image(*source(world)).allocated_bytes
                began = time.monotonic()
                path = arrived(world, world.cli.move(GUEST, "--disk", where), finds)
                print(f"{path}: {time.monotonic() - began:.1f} s, {before / MiB:.0f} MiB", end=" → ")
                print(f"{world.host.image(*source(world)).allocated_bytes / MiB:.0f} MiB")
                world.start_guest()
                world.lab.check()
            assert cluster("rbd", "ls", "vms") == "", "what was left is deleted through its pool"
        finally:
            if not str(world.domain().inactive_disk("vdb")).count("/lab-a/"):
                world.cli.move(GUEST, "--disk", walk[-1][0])
            world.tidy()
    assert world.path("vdb").stat().st_blocks * 512 < 400 * MiB, "holes are holes again"


def source(world: World) -> tuple[str, str]:
    found = world.domain().inactive_disk("vdb")
    assert found is not None
    assert found.path is not None
    return found.path, found.format


def test_a_copy_that_was_cut_off_goes_on_where_it_was_and_has_nothing_old_in_it(cold: Cold) -> None:
    with luns(cold.world, SIZE) as target:
        move = cold.cut_off(LUN)
        saved = cold.record(move).all(Kind.FACT, "saved")[-1].data["offset"]
        assert 0 < saved < 20 * MiB
        arrived(cold.world, cold.world.cli("resume", "--json"))
        assert [entry.data["begin"] for entry in cold.record(move).all(Kind.INTENT, "copy-layer")] == [0, saved]
        assert target.luns[0].read_bytes() == cold.bytes
        cold.starts()

        # Back, from where there is no lock: cut off as well, and nobody was there meanwhile.
        move = cold.cut_off("vda=lab-a,name=back.img")
        back = Path(arrived(cold.world, cold.world.cli("resume", "--json")))
        assert [entry.data["begin"] > 0 for entry in cold.record(move).all(Kind.INTENT, "copy-layer")] == [False, True]
        assert back.read_bytes() == cold.bytes
        cold.starts()


def test_a_guest_that_ran_on_what_has_no_lock_while_svmove_was_dead_keeps_it(cold: Cold) -> None:
    with luns(cold.world, SIZE) as target:
        cold.goes(LUN, "--overwrite")
        before = cold.path()
        move = cold.cut_off("vda=lab-a,name=back.img")
        with target.luns[0].open("r+b") as file:  # as the guest, which has been off again since
            file.write(b"what it wrote in between")
        result = cold.world.cli("resume", "--json")
        assert result.document["state"] == "rolled-back"
        assert result.document["error"]["code"] == "source-changed"
        assert cold.record(move).last(Kind.FACT, "removed", "vda") is not None
        assert not (cold.world.lab.paths.pool("lab-a") / "back.img").exists()
        assert cold.path() == before
        cold.starts()


def test_a_start_on_what_has_no_lock_takes_the_move_back(cold: Cold) -> None:
    with luns(cold.world, SIZE):
        cold.goes(LUN, "--overwrite")
        before = cold.path()
        process, _ = cold.begun("vda=lab-a,name=back.img")
        cold.world.virsh("start", NAME)
        began = time.monotonic()
        result = finished(process)
        assert time.monotonic() - began < 5.0
        assert (result.document["state"], result.document["error"]["code"]) == ("rolled-back", "guest-started")
        assert cold.path(live=True) == cold.path() == before
        assert not (cold.world.lab.paths.pool("lab-a") / "back.img").exists()


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_a_copy_that_is_cancelled_ends_at_once_and_the_guest_starts_from_its_source(cold: Cold, back: bool) -> None:
    with luns(cold.world, SIZE):
        if back:
            cold.goes(LUN, "--overwrite")
        before = cold.path()
        process, move = cold.begun("vda=lab-a,name=back.img" if back else LUN)
        began = time.monotonic()
        assert cold.world.cli("cancel", move).code == 0
        result = finished(process)
        assert time.monotonic() - began < 5.0, "with the start of svmove itself, a second"
        assert (result.document["state"], result.document["error"]["code"]) == ("rolled-back", "interrupted")
        assert cold.path() == before
        cold.starts()


def test_a_disk_goes_into_luks_to_other_keys_and_out_while_its_guest_is_off(cold: Cold) -> None:
    world = cold.world
    with (
        luks.passphrase(world, "one", PASSPHRASE) as one,
        luks.passphrase(world, "two", b"another"),
        ExitStack() as stack,
    ):
        server = stack.enter_context(nbd(world.network, world.folder / "nbd", SIZE))
        locked = Path(cold.goes("vda=lab-b,name=locked.img", "--encrypt", one, finds=["plain-traces"]))
        assert locked.read_bytes()[:6] == b"LUKS\xba\xbe"
        assert cold.bytes[: 64 * 1024] not in locked.read_bytes()
        assert [key.get("uuid") for key in cold.starts().iterfind("encryption/secret")] == [one]

        there = locked.read_bytes()
        same = Path(cold.goes("vda=lab-a,name=same.img"))
        assert same.read_bytes() == there, "with the same key it is copied as it is"
        cold.starts()

        value = world.folder / "value"
        value.write_text(base64.b64encode(b"not that one").decode())
        world.virsh("secret-set-value", one, "--file", value)
        refused = world.cli.move(NAME, "--disk", "vda=lab-b,name=other.qcow2,format=qcow2", "--encrypt", "two")
        assert (refused.code, refused.codes) == (3, ["wrong-key"])
        value.write_text(base64.b64encode(PASSPHRASE).decode())
        world.virsh("secret-set-value", one, "--file", value)

        cold.goes("vda=lab-b,name=other.qcow2,format=qcow2", "--encrypt", "two")
        assert [key.get("usage") for key in cold.starts().iterfind("encryption/secret")] == ["two"]

        cold.goes(f"vda={server.uri('disk')}", "--decrypt", finds=["decrypted"])
        assert (server.folder / "disk").read_bytes() == cold.bytes
        assert cold.starts().find("encryption") is None

        cold.goes("vda=lab-a,name=in.img,format=raw", "--encrypt", "two", finds=["plain-traces"])
        back = Path(cold.goes("vda=lab-b,name=back.img", "--decrypt", finds=["decrypted"]))
        assert back.read_bytes() == cold.bytes
        assert world.files() >= {back}
        cold.starts()


def test_a_disk_goes_into_luks_on_a_lun_in_ceph_and_on_an_export_and_out_while_its_guest_is_off(cold: Cold) -> None:
    world = cold.world
    with (
        luks.passphrase(world, "one", PASSPHRASE) as one,
        luks.passphrase(world, "two", b"another"),
        ceph(world.network, world.folder / "ceph", 3 * GiB) as cluster,
        rbd_pool(world, cluster),
        luns(world, SIZE + LUKS_HEADER + MiB) as target,
        nbd(world.network, world.folder / "nbd", SIZE + LUKS_HEADER) as server,
    ):
        assert world.cli.move(NAME, "--disk", LUN, "--encrypt", one).codes == ["not-blank"]
        cold.goes(LUN, "--encrypt", one, "--overwrite", finds=["slice", "plain-traces"])
        lun = target.luns[0].read_bytes()
        assert lun[:6] == b"LUKS\xba\xbe"
        assert cold.bytes[: 64 * 1024] not in lun
        assert lun[SIZE + LUKS_HEADER :] == OLD * MiB, "it wrote beyond the disk"
        started = cold.starts()
        assert [key.get("uuid") for key in started.iterfind("encryption/secret")] == [one]
        assert [cut.get("size") for cut in started.iterfind("slices/slice")] == [str(SIZE + LUKS_HEADER)]

        cold.goes("vda=ceph,name=locked", "--encrypt", "two")
        assert [key.get("usage") for key in cold.starts().iterfind("encryption/secret")] == ["two"]
        assert target.luns[0].read_bytes() == lun, "a LUN that was left was touched"

        cold.goes(f"vda={server.uri('disk')}", "--encrypt", one)
        assert cluster("rbd", "ls", "vms") == ""
        there = (server.folder / "disk").read_bytes()
        assert there[:6] == b"LUKS\xba\xbe"
        assert cold.bytes[: 64 * 1024] not in there
        assert [key.get("uuid") for key in cold.starts().iterfind("encryption/secret")] == [one]

        back = Path(cold.goes("vda=lab-b,name=back.img", "--decrypt", finds=["decrypted"]))
        assert back.read_bytes() == cold.bytes
        cold.starts()


def test_several_disks_of_a_guest_go_to_several_kinds_of_place_by_one_definition(world: World) -> None:
    paths = [world.image(f"several-{target}.img", str(SIZE), "raw") for target in ("vda", "vdb", "vdc")]
    for number, path in enumerate(paths, 1):
        run(["qemu-io", "-f", "raw", "-c", f"write -P {number} 0 8M", str(path)])
    disks = [disk(path, target, "raw") for path, target in zip(paths, ("vda", "vdb", "vdc"), strict=True)]
    world.guest("several", *disks, start=False)
    before = [path.read_bytes() for path in paths]
    with luns(world, SIZE) as target, nbd(world.network, world.folder / "nbd", SIZE) as server:
        words = [word for where in (LUN, f"vdb={server.uri('disk')}", "vdc=lab-b") for word in ("--disk", where)]
        result = world.cli.move("several", *words, "--overwrite")
        assert result.code == 0, result.stdout
        assert [one["verified"] for one in result.document["disks"]] == [True] * 3
        now = [target.luns[0], server.folder / "disk", world.lab.paths.pool("lab-b") / paths[2].name]
        assert [path.read_bytes() for path in now] == before
        assert not any(path.exists() for path in paths)
        world.virsh("start", "several")
        world.virsh("destroy", "several")
