"""Bad input on a real libvirt: a clear error with its remedy, and nothing is touched."""

import pytest

from tests.real.world import GUEST, World, disk


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["lab-gest", "--to", "lab-b"], "no-such-domain", "lab-guest"),
        ([GUEST, "--to", "lab-c"], "no-such-pool", "lab-b"),
        ([GUEST, "--to", "lab-b", "--disk", "vdx"], "no-such-disk", "vda"),
        ([GUEST, "--to", "lab-b", "--max-pause", "20ms"], "pause-too-short", "--max-pause"),
        # Names that a shell, an XML parser or a format string would stumble over.
        (["; rm -rf $HOME", "--to", "lab-b"], "no-such-domain", "; rm -rf $HOME"),
        (['"&<x>]]>\n', "--to", "lab-b"], "no-such-domain", "no-such-domain"),
        ([GUEST, "--to", "<pool name='x'/>"], "no-such-pool", "<pool name='x'/>"),
        ([GUEST, "--to", "[red]x[/red]%s{0}"], "no-such-pool", "[red]x[/red]%s{0}"),
        ([GUEST, "--to", "lab-b", "--disk", "vda,name=a/b"], "bad-name", "--disk vda,name="),
        ([GUEST, "--to", "lab-b", "--disk", "vda,name=a\nb"], "bad-name", "--disk vda,name="),
        ([GUEST, "--to", "lab-b", "--disk", "vda,name=.."], "bad-name", "--disk vda,name="),
        ([GUEST, "--disk", "vda=lab-b,name=x", "--disk", "vdb=lab-b,name=x"], "name-twice", "--disk"),
    ],
)
def test_what_does_not_exist_or_has_no_meaning_is_refused(world: World, words: list[str], code: str, said: str) -> None:
    if world.other() == "lab-a":
        words = [word.replace("lab-b", "lab-a") for word in words]
        said = said.replace("lab-b", "lab-a")
    before = world.state(GUEST)

    result = world.cli.move(*words)

    assert (result.code, result.document["state"], result.document["move"]) == (3, "refused", None)
    assert result.codes == [code]
    assert said in result.stdout.replace("\\n", "\n").replace('\\"', '"')
    assert world.state(GUEST) == before


@pytest.mark.parametrize(
    "words",
    [
        [GUEST],
        [GUEST, "--to", "lab-b", "--bandwidth", "100"],
        [GUEST, "--to", "lab-b", "--bandwidth", "100MiB"],
        [GUEST, "--to", "lab-b", "--max-pause", "2"],
        [GUEST, "--to", "lab-b", "--disk", "vda,colour=red"],
        [GUEST, "--to", "lab-b", "--disk", "vda", "--disk", "vda"],
        [GUEST, "--to", "lab-b", "--format", "vmdk"],
        [GUEST, "--to", "lab-b", "--verify", "perhaps"],
    ],
)
def test_a_command_line_without_meaning_is_a_usage_error(world: World, words: list[str]) -> None:
    before = world.state(GUEST)

    result = world.cli("move", *words)

    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) >= 1
    assert world.state(GUEST) == before


def refused(world: World, name: str, *words: str) -> list[str]:
    """The codes that speak against it; nothing was touched."""
    before = world.state(name)
    result = world.cli.move(name, *words)
    assert (result.code, result.document["state"]) == (3, "refused"), result.stdout
    assert all(f["remedy"] for f in result.document["findings"] if f["level"] == "refuse")
    assert world.state(name) == before
    return result.codes


def test_a_pool_that_is_not_active_is_refused(world: World) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    world.virsh("pool-destroy", "lab-b")
    try:
        assert refused(world, "small", "--to", "lab-b") == ["pool-inactive"]
    finally:
        world.virsh("pool-start", "lab-b")


def test_too_little_space_is_refused_and_only_the_destinations_counts(world: World) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    world.folder.joinpath("policy.toml").write_text('[space]\nreserve = "900TiB"\n')

    assert world.cli("plan", "small", "--to", "lab-b").code == 0  # the default reserve leaves room
    result = world.cli("--policy", str(world.folder / "policy.toml"), "move", "small", "--to", "lab-b", "--json")

    assert (result.code, result.codes) == (3, ["no-space"])


def test_a_shareable_disk_is_refused(world: World) -> None:
    world.guest("shared", disk(world.image("shared.img", "8M", "raw"), format_="raw", shareable=""))

    assert refused(world, "shared", "--to", "lab-b", "--disk", "vda") == ["shareable"]
    assert refused(world, "shared", "--to", "lab-b") == ["nothing-to-move"]


def test_a_transient_disk_is_refused(world: World) -> None:
    world.guest("passing", disk(world.image("passing.qcow2"), transient=""))

    assert refused(world, "passing", "--to", "lab-b", "--disk", "vda")[0] == "transient-disk"


def test_somebody_elses_block_job_is_refused_and_lives_on(world: World) -> None:
    world.guest("busy", disk(world.image("busy.qcow2")))
    elsewhere = world.folder / "copy.qcow2"
    world.virsh("blockcopy", "busy", "vda", "--dest", elsewhere, "--format", "qcow2", "--transient-job")

    assert refused(world, "busy", "--to", "lab-b") == ["block-job"]
    job = world.hypervisor.job(world.domain("busy").uuid, "vda")
    assert job is not None
    assert job.kind == "copy"


def test_internal_snapshots_are_refused_by_name_with_the_way_that_keeps_them(world: World) -> None:
    world.guest("internal", disk(world.image("internal.qcow2")), start=False)
    world.virsh("snapshot-create-as", "internal", "before-upgrade")
    world.virsh("start", "internal")

    assert refused(world, "internal", "--to", "lab-b") == ["internal-snapshots"]
    said = world.cli.move("internal", "--to", "lab-b").stdout
    assert "before-upgrade" in said
    assert "shut the guest down" in said


def test_a_destination_name_that_is_taken_is_refused(world: World) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    world.image("small.qcow2", pool="lab-b")

    assert refused(world, "small", "--to", "lab-b") == ["name-taken"]
    assert world.cli.move("small", "--disk", "vda=lab-b,name=other").code == 0


def test_a_file_that_libvirt_does_not_know_yet_takes_the_name_too(world: World) -> None:
    world.guest("small", disk(world.image("small.qcow2")))
    (world.lab.paths.pool("lab-b") / "small.qcow2").write_text("somebody's")

    assert refused(world, "small", "--to", "lab-b") == ["name-taken"]


def test_an_inactive_definition_that_differs_is_refused(world: World) -> None:
    world.guest("edited", disk(world.image("edited.qcow2")))
    later = disk(world.image("later.qcow2"))
    world.virsh("detach-disk", "edited", "vda", "--config")

    assert refused(world, "edited", "--to", "lab-b") == ["inactive-differs"]
    file = world.folder / "later.xml"
    from lxml import etree

    file.write_bytes(etree.tostring(later))
    world.virsh("attach-device", "edited", file, "--config")
    assert refused(world, "edited", "--to", "lab-b") == ["inactive-differs"]


def test_a_disk_that_another_guest_names_is_refused(world: World) -> None:
    image = world.image("two.img", "8M", "raw")
    world.guest("first", disk(image, format_="raw"))
    world.guest("second", disk(image, format_="raw"), start=False)

    assert refused(world, "first", "--to", "lab-b") == ["used-elsewhere"]


@pytest.mark.parametrize("name", ["two words", 'it\'s "quoted"', "$(reboot); `x` & y", "Größe-データ", "a<b>&amp;c"])
def test_names_are_only_names(world: World, name: str) -> None:
    """A guest, an image and a destination volume of that name; libvirt itself takes each of them."""
    world.guest(name, disk(world.image(f"{name}.qcow2")))

    result = world.cli.move(name, "--disk", f"vda=lab-b,name={name} moved")

    assert (result.code, result.document["domain"]) == (0, name), result.stdout
    assert world.path("vda", name) == world.lab.paths.pool("lab-b") / f"{name} moved"
    assert not (world.lab.paths.pool("lab-a") / f"{name}.qcow2").exists()
