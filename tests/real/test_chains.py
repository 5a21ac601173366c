"""Guests with files below their disks: external snapshots and templates. The chain moves, and stays a chain."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from svmove.host import command
from svmove.host.command import run
from svmove.journal import Journal
from svmove.model import DomainState
from svmove.units import MiB
from tests.real.world import World, disk, until

SIZE = 16 * MiB


def content(path: Path, format_: str = "qcow2") -> str:
    """As a guest sees it."""
    flat = path.parent / "flat"
    try:
        run(["qemu-img", "convert", "-U", "-f", format_, "-O", "raw", str(path), str(flat)])
        return hashlib.sha256(flat.read_bytes()).hexdigest()
    finally:
        flat.unlink(missing_ok=True)


def write(path: Path, byte: int, at: int, length: str = "64k") -> None:
    run(["qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {at} {length}", str(path)])


def template(world: World, name: str = "template.qcow2", size: int = SIZE, pool: str = "lab-a") -> Path:
    path = world.image(name, str(size), "qcow2", pool=pool)
    write(path, 1, 0)
    write(path, 2, size // 2)
    return path


def on(world: World, base: Path, name: str, size: int = SIZE) -> Path:
    path = world.image(name, str(size), "qcow2", "-b", str(base), "-F", "qcow2")
    write(path, 3, 1 * MiB)
    run(["qemu-io", "-f", "qcow2", "-c", "write -z 0 64k", str(path)])  # hides what the template has there
    return path


def chain(world: World, name: str, target: str = "vda", *, inactive: bool = False) -> list[Path]:
    """Of a disk, by the headers of its files; live and inactive XML name its top."""
    domain = world.domain(name)
    found = domain.inactive_disk(target)
    assert found is not None
    assert found.path is not None
    if domain.live and not inactive:
        live = domain.disk(target)
        assert live is not None
        assert live.path == found.path
        by_xml = [Path(live.path or ""), *map(Path, live.chain)]
    path, paths = Path(found.path), [Path(found.path)]
    while below := command.image_info(str(path), "qcow2").get("full-backing-filename"):
        path = Path(below)
        paths.append(path)
    assert not domain.live or by_xml == paths
    return paths


def with_snapshots(world: World, name: str = "snapped") -> list[Path]:
    """A running guest with two external snapshots. Its chain, the top first."""
    base = template(world, f"{name}.qcow2")
    world.guest(name, disk(base))
    for number in (1, 2):
        spec = f"vda,file={base.parent}/{name}.s{number}"
        world.virsh("snapshot-create-as", name, f"s{number}", "--disk-only", "--diskspec", spec)
    world.virsh("pool-refresh", "lab-a")
    return chain(world, name)


def moved(world: World, name: str, *words: str, state: str = "done") -> dict[str, Any]:
    result = world.cli.move(name, "--to", "lab-b", *words)
    assert result.document["state"] == state, result.stdout + result.stderr
    return result.document


def proofs(world: World, move: str) -> list[str]:
    entries = Journal(str(world.cli.journal)).read(move).entries
    return [e.target or "" for e in entries if e.what == "proven-layer"]


def lab_b(world: World, *paths: Path) -> list[Path]:
    return [world.lab.paths.pool("lab-b") / path.name for path in paths]


@pytest.mark.parametrize("method", ["mirror", "snapshot"])
def test_a_guest_with_snapshots_moves_with_them_and_they_can_be_used(world: World, method: str) -> None:
    before = with_snapshots(world)
    assert len(before) == 3
    seen = content(before[0])
    document = moved(world, "snapped", "--method", method)

    after = chain(world, "snapped")
    assert after == lab_b(world, *before)
    assert content(after[0]) == seen
    assert not [path for path in world.files() if path.name.startswith("snapped") and path not in after]
    assert {"vda:1", "vda:2"} <= set(proofs(world, document["move"]))
    for name in ("s1", "s2"):
        described = etree.fromstring(world.virsh("snapshot-dumpxml", "snapped", name).encode())
        named = [source.get("file") or "" for source in described.iter("source")]
        assert named
        assert not [path for path in named if "/lab-a/" in path]
    # Not in words alone: the guest starts from the chain, and libvirt deletes a snapshot by what its metadata say.
    world.virsh("destroy", "snapped")
    world.virsh("start", "snapped")
    assert chain(world, "snapped") == after
    world.virsh("snapshot-delete", "snapped", "s1")
    assert world.virsh("snapshot-list", "snapped", "--name").split() == ["s2"]
    assert len(chain(world, "snapped")) == 2
    assert content(world.path("vda", "snapped")) == seen
    world.virsh("destroy", "snapped")
    world.virsh("start", "snapped")


def test_a_chain_becomes_one_file(world: World) -> None:
    world.guest("flat", disk(on(world, template(world), "flat.qcow2")))
    top = world.path("vda", "flat")
    seen = content(top)
    moved(world, "flat", "--flatten")
    assert chain(world, "flat") == lab_b(world, top)
    assert content(world.path("vda", "flat")) == seen
    assert not top.exists()


def two_on_a_template(world: World, size: int = SIZE) -> tuple[Path, Path]:
    base = template(world)
    for name in ("one", "two"):
        world.guest(name, disk(on(world, base, f"{name}.qcow2", size)), start=name == "one")
    return base, world.path("vda", "one")


@pytest.mark.parametrize("method", ["mirror", "snapshot"])
def test_a_template_that_another_guest_has_is_copied_and_kept(world: World, method: str) -> None:
    """The guest's disk was made larger than the template, as is usual."""
    base, top = two_on_a_template(world, 2 * SIZE)
    seen = content(top)
    moved(world, "one", "--method", method)
    assert chain(world, "one") == lab_b(world, top, base)
    assert content(world.path("vda", "one")) == seen
    assert (base.exists(), top.exists()) == (True, False)
    assert chain(world, "two")[1] == base


def off_on(world: World, base: Path, where: str) -> Path:
    """The disk of another guest, which is off. libvirt does not know what it is based on."""
    folder = world.folder if where == "no pool" else world.lab.paths.pool("lab-a")
    top = folder / "two.qcow2"
    if where == "a volume that was made anew since":
        world.image("two.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(top)])
    top.chmod(0o644)
    world.guest("two", disk(top), start=False)
    return top


@pytest.mark.parametrize(
    "where", ["no pool", "a pool that was not refreshed since", "a volume that was made anew since"]
)
def test_a_template_of_a_guest_that_is_off_is_kept_also_where_libvirt_knows_nothing_of_it(
    world: World, where: str
) -> None:
    base = template(world)
    world.guest("one", disk(on(world, base, "one.qcow2")))
    off_on(world, base, where)
    moved(world, "one")
    assert base.exists()
    world.virsh("start", "two")


def test_a_source_that_waits_is_kept_for_a_guest_that_is_off_and_based_on_it(world: World) -> None:
    base = template(world, "one.qcow2")
    world.guest("one", disk(base))
    moved(world, "one", "--keep-for", "1s")
    off_on(world, base, "no pool")
    until(lambda: "not over" not in world.cli("gc").stdout, "its time is over")
    left = world.cli("gc", "--yes", "--json")
    assert left.code == 0, left.stdout + left.stderr
    (waiting,) = [one for one in left.document["leftovers"] if one["path"] == str(base)]
    assert (waiting["removed"], waiting["kept"]) == (False, "domain two uses it")
    assert base.exists()
    world.virsh("undefine", "two")
    assert world.cli("gc", "--yes", "--json").code == 0
    assert not base.exists()


def test_a_template_stays_where_it_is(world: World) -> None:
    base, top = two_on_a_template(world)
    moved(world, "one", "--base", "stay")
    assert chain(world, "one") == [*lab_b(world, top), base]
    assert base.exists()


def test_a_template_that_is_there_already_is_found_and_is_not_ours(world: World) -> None:
    base, top = two_on_a_template(world)
    there = lab_b(world, base)[0]
    there.write_bytes(base.read_bytes())
    world.virsh("pool-refresh", "lab-b")
    inode = there.stat().st_ino
    refused = world.cli.move("one", "--to", "lab-b")
    assert refused.codes == ["name-taken"], refused.stdout
    moved(world, "one", "--base", "find")
    assert chain(world, "one") == lab_b(world, top, base)
    assert there.stat().st_ino == inode


def test_another_file_of_the_templates_name_is_found_out_and_never_touched(world: World) -> None:
    base, top = two_on_a_template(world)
    there = template(world, base.name, pool="lab-b")
    write(there, 9, 3 * MiB)
    world.virsh("pool-refresh", "lab-b")
    was, before = there.read_bytes(), world.files()
    document = moved(world, "one", "--base", "find", state="rolled-back")
    assert document["error"]["code"] == "copy-differs"
    assert there.read_bytes() == was
    assert world.files() == before
    assert chain(world, "one") == [top, base]


def test_two_disks_on_one_template_share_it_afterwards(world: World) -> None:
    base = template(world)
    tops = [on(world, base, f"both-{number}.qcow2") for number in (1, 2)]
    world.guest("both", disk(tops[0], "vda"), disk(tops[1], "vdb"))
    moved(world, "both")
    for target, top in zip(("vda", "vdb"), tops, strict=True):
        assert chain(world, "both", target) == lab_b(world, top, base)
    assert not base.exists()


def test_a_template_in_no_pool_is_copied_and_kept(world: World) -> None:
    base = world.folder / "outside.qcow2"
    base.write_bytes(template(world, "inside.qcow2").read_bytes())
    base.chmod(0o644)
    top = on(world, base, "inside-top.qcow2")
    world.guest("outside", disk(top))
    moved(world, "outside")
    assert chain(world, "outside") == lab_b(world, top, base)
    assert base.exists()


def test_a_name_that_is_taken_for_a_layer_is_refused(world: World) -> None:
    with_snapshots(world)
    world.image("snapped.s1", "1M", "qcow2", pool="lab-b")
    before = world.files()
    refused = world.cli.move("snapped", "--to", "lab-b")
    assert (refused.code, refused.codes) == (3, ["name-taken"])
    assert world.files() == before
    assert world.domain("snapped").state is DomainState.RUNNING
