"""Disks that are encrypted with LUKS, moved as the guest writes: with their key, with another one, in and out."""

import base64
import json
import time
from pathlib import Path

from svmove.lab.watch import Watch
from svmove.location import Secret, SecretState
from svmove.units import MiB
from tests.real.cli import Result, finished
from tests.real.pools import luks
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.pools.places import described, home
from tests.real.pools.secrets import secret
from tests.real.world import GUEST, World, disk

SMALL = 16 * MiB
_PATIENCE = 300.0
_DISK = 512 * MiB  # from here on a file is a server's disk
PASSPHRASE = b"one that nobody is to see: 7x9"


def to(world: World, where: str, *words: str, name: str = GUEST) -> Result:
    began = time.monotonic()
    with Watch(world.lab.console) as watch:
        # On a busy machine a key alone takes ten seconds.
        process = world.cli.start("move", name, "--disk", where, *words, "--json")
        out, err = process.communicate(timeout=_PATIENCE)
        result = Result(code=process.returncode, stdout=out, stderr=err)
    document = result.document
    assert result.code == 0, json.dumps(document, indent=1) + result.stderr
    (moved,) = document["disks"]
    assert (document["state"], moved["verified"], moved["mismatches"]) == ("done", "none" not in words, [])
    if name == GUEST:
        assert watch.pause is not None
        assert watch.pause.suspended < 2.0
    print(f"{where} {words}: {time.monotonic() - began:.1f} s, {document['seconds']}, {moved['copied_bytes']}")
    return result


def keys(world: World, target: str = "vdb") -> list[tuple[str | None, list[str | None]]]:
    """What opens it, live and at the next start: libvirt's format of the disk, and the uuids of its secrets."""
    found = []
    for options in ((), ("--inactive",)):
        element = described(world, target, *options)
        driver = element.find("driver")
        assert driver is not None
        secrets = [one.get("uuid") for one in element.iterfind("source/encryption[@format='luks']/secret")]
        assert len(element.findall(".//encryption")) == len(secrets)
        found.append((driver.get("type"), secrets))
    return found


def test_a_disk_goes_into_luks_and_to_another_format_and_key_and_out_again(away: World) -> None:
    with luks.passphrase(away, "one", PASSPHRASE) as one, luks.passphrase(away, "two", b"another"):
        try:
            silently(away, "vdb=lab-b,name=locked.img", "--encrypt", one)
            assert keys(away) == [("raw", [one])] * 2
            assert away.path("vdb").read_bytes()[:6] == b"LUKS\xba\xbe"

            to(away, "vdb=lab-a,name=locked.qcow2,format=qcow2")
            assert keys(away) == [("qcow2", [one])] * 2
            away.virsh("destroy", GUEST)
            away.start_guest()
            away.lab.check()

            to(away, "vdb=lab-b,name=again.qcow2", "--encrypt", "two")
            assert keys(away) == [("qcow2", [None])] * 2  # by usage, not by uuid
            (found,) = (disk for disk in away.domain().live if disk.target == "vdb")
            assert found.luks == Secret(usage="two")

            to(away, "vdb=lab-a,name=lab-guest-vdb.img,format=raw", "--decrypt")
            assert keys(away) == [("raw", [])] * 2
        finally:
            home(away, "vdb")
        away.lab.check()


def silently(world: World, where: str, *words: str) -> Result:
    """A move whose passphrase is nowhere to be seen: on no command line, in no log, in no journal."""
    text = PASSPHRASE.decode()
    forms = [PASSPHRASE, base64.b64encode(PASSPHRASE), PASSPHRASE.hex().encode()]
    process = world.cli.start("-v", "move", GUEST, "--disk", where, *words, "--json")
    seen, helpers = 0, set[str]()
    while process.poll() is None:
        for folder in Path("/proc").iterdir():
            try:
                argv = (folder / "cmdline").read_bytes() if folder.name.isdecimal() else b""
            except OSError:
                continue
            if b"qemu-img\0compare" in argv:
                helpers.add(folder.name)
            assert not any(form in argv for form in forms), argv.partition(b"\0")[0]
        seen += 1
        time.sleep(0.2)
    result = finished(process)
    assert result.code == 0, result.stdout + result.stderr
    assert seen > 5
    assert helpers
    history = world.cli("show", result.document["move"], "--json").stdout
    assert "created" in history
    for told in (result.stdout, result.stderr, history):
        assert text not in told
    for path in world.folder.rglob("*"):
        if path.is_file() and path.stat().st_size < _DISK:
            assert not any(form in path.read_bytes() for form in forms), path
    assert (result.document["state"], result.document["disks"][0]["verified"]) == ("done", True)
    print(f"{where} {words}: {result.document['seconds']}, {result.document['disks'][0]['copied_bytes']}")
    return result


def locked(world: World, name: str, uuid: str, format_: str = "raw") -> Path:
    """A small guest that runs on an encrypted disk."""
    path = luks.volume(world, f"{name}.img", SMALL, uuid, format_)
    element = disk(path, format_=format_)
    source = element.find("source")
    assert source is not None
    source.append(luks.encryption(uuid))
    world.guest(name, element)
    return path


def test_a_key_that_svmove_may_not_read_or_that_opens_nothing_is_refused_before_the_start(world: World) -> None:
    with secret(world, PASSPHRASE, "volume", "hidden", private=True) as hidden:
        locked(world, "locked", hidden)
        found = world.cli.move("locked", "--to", "lab-b")
        assert found.codes == ["secret-private"]
        assert "--verify none" in found.stdout
        to(world, "vda=lab-b", "--verify", "none", name="locked")
        _end(world, "locked")
    with luks.passphrase(world, "changed") as uuid:
        locked(world, "locked", uuid)
        value = world.folder / "value"
        value.write_text(base64.b64encode(b"not that one").decode())
        world.virsh("secret-set-value", uuid, "--file", value)
        assert world.cli.move("locked", "--to", "lab-b").codes == ["wrong-key"]
        assert world.cli.move("locked", "--to", "lab-b", "--encrypt", "nobody").codes == ["secret-missing", "wrong-key"]
        with secret(world, None, "volume", "empty") as empty:
            codes = world.cli.move("locked", "--to", "lab-b", "--encrypt", empty).codes
            assert codes == ["secret-missing", "wrong-key"]
        _end(world, "locked")


def test_a_lun_whose_secret_is_private_is_refused_with_the_reason(guest: World) -> None:
    with (
        iscsi(guest.network, guest.folder / "iscsi", [SMALL]) as target,
        iscsi_pool(guest, target, private=True),
        luks.passphrase(guest, "read") as readable,
        secret(guest, None, "volume", "empty") as empty,
    ):
        assert guest.cli.move(GUEST, "--disk", "vdb=luns,name=unit:0:0:1").codes == ["secret-private"]
        named = [Secret(usage="lab luns"), Secret(uuid=readable), Secret(uuid=empty), Secret(usage="nobody")]
        states = [guest.hypervisor.secret_state(one) for one in named]
        assert states == [SecretState.PRIVATE, SecretState.READABLE, SecretState.EMPTY, SecretState.MISSING]


def _end(world: World, name: str) -> None:
    world.virsh("destroy", name)
    world.virsh("undefine", name, "--remove-all-storage")
