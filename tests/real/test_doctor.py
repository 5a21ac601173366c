"""`svmove doctor` on a real libvirt: all is well, and what is really broken is told with the remedy that mends it.

What it says of pools and folders, the plan of a move says too, before anything is touched."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from lxml import etree
from lxml.builder import E

from svmove.lab.errors import LabError
from tests.real.cli import Result
from tests.real.pools.iscsi import iscsi, iscsi_pool
from tests.real.world import World, disk


def told(result: Result) -> dict[str, dict[str, Any]]:
    """By subject: the first line that warns."""
    found: dict[str, dict[str, Any]] = {}
    for line in result.document["lines"]:
        if line["mark"] in ("warning", "problem"):
            found.setdefault(line["subject"], line)
    return found


@contextmanager
def pool(world: World, described: etree._Element) -> Iterator[str]:
    """It is known to libvirt, starts with it, and is not active."""
    name = described.findtext("name") or ""
    world.virsh.define("pool-define", described)
    try:
        world.virsh("pool-autostart", name)
        yield name
    finally:
        with suppress(LabError):
            world.virsh("pool-destroy", name)
        world.virsh("pool-undefine", name)


def test_on_a_host_where_all_is_well_nothing_keeps_a_move_from_running(world: World) -> None:
    result = world.cli("doctor", "--json")

    assert result.code == 0, result.stdout
    assert result.document["worst"] in ("ok", "note"), result.stdout
    well = {line["subject"] for line in result.document["lines"] if line["mark"] == "ok"}
    subjects = {"libvirt", "QEMU", "commands", "user", "kvm", "policy", "journal", "clock", "backends", "moves"}
    assert {*subjects, "pool lab-a", "pool lab-b", f"scratch {world.scratch}"} <= well
    (one,) = [line for line in result.document["lines"] if line["subject"] == "pool lab-a"]
    assert "available of" in one["seen"]
    assert "O_DIRECT" in one["seen"]


def test_what_is_broken_is_told_with_its_remedy_which_mends_it(world: World) -> None:
    """A pool that is not active, one whose secret nobody has, and the policy: problems of each kind at once."""
    folder = world.folder / "asleep"
    folder.mkdir()
    asleep = E.pool(E.name("asleep"), E.target(E.path(str(folder))), type="dir")
    auth = E.auth(E.secret(usage="nobody-has-it"), type="ceph", username="me")
    ceph = E.pool(E.name("ceph"), E.source(E.host(name="127.0.0.1"), E.name("vms"), auth), type="rbd")
    policy = world.folder / "policy.toml"
    policy.write_text("[space]\nreserv = '1GiB'\n")

    with pool(world, asleep) as name, pool(world, ceph):
        result = world.cli("--policy", str(policy), "doctor", "--json")
        lines = told(result)
        assert result.code == 3
        assert lines["pool asleep"]["code"] == "pool-inactive"
        assert lines["pool asleep"]["remedy"] == "virsh pool-start asleep"
        codes = {line["code"] for line in result.document["lines"] if line["subject"] == "pool ceph"}
        assert codes == {"pool-inactive", "secret-missing"}
        assert "nobody-has-it" in next(
            line["seen"] for line in result.document["lines"] if line["code"] == "secret-missing"
        )
        assert lines["policy"]["mark"] == "problem"
        assert "policy.toml:2: space.reserv" in lines["policy"]["seen"]

        world.virsh(*lines["pool asleep"]["remedy"].split()[1:])
        mended = world.cli("doctor", name)
        assert mended.code == 0
        assert "problem" not in mended.stdout
        assert "pool lab-a" not in mended.stdout  # nobody asked for it


def test_a_folder_that_qemu_can_not_enter_is_told_and_refused_and_the_remedy_opens_it(world: World) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    folder = world.lab.paths.pool("lab-b")
    mode = folder.stat().st_mode & 0o7777
    folder.chmod(0o700)
    try:
        result = world.cli("doctor", "lab-b", "--json")
        assert (result.code, told(result)["pool lab-b"]["code"]) == (3, "no-access")
        assert world.cli.move("small", "--to", "lab-b").codes == ["no-access"]
        assert not list(folder.glob("small*"))
        folder.chmod(0o701)  # chmod o+x
        assert world.cli("plan", "small", "--to", "lab-b").code == 0
    finally:
        folder.chmod(mode)


def test_a_storage_on_the_network_that_is_gone_is_told_in_its_own_words(world: World) -> None:
    """libvirt still calls the pool active: it asks nobody until somebody wants something of it."""
    with iscsi(world.network, world.folder / "tgt", [8 << 20]) as target, iscsi_pool(world, target):
        well = world.cli("doctor", "luns", "--json")
        assert (well.code, told(well)) == (0, {}), well.stdout
        target.server.kill()
        target.server.wait()
        result = world.cli("doctor", "luns", "--json")
        assert (result.code, told(result)["pool luns"]["code"]) == (3, "storage-silent"), result.stdout
        assert "onnect" in told(result)["pool luns"]["seen"]


def test_a_source_that_somebody_removed_or_replaced_is_refused(world: World) -> None:
    """Nothing is touched: what QEMU has open is the only good copy."""
    path = world.image("small.qcow2")
    world.guest("small", disk(path))
    content = path.read_bytes()
    for replace in (lambda: None, lambda: path.write_bytes(content)):
        path.unlink(missing_ok=True)
        replace()
        result = world.cli.move("small", "--to", "lab-b")
        assert result.code == 3
        assert "source-replaced" in result.codes
    assert not list(world.lab.paths.pool("lab-b").glob("small*"))
