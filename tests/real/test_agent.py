"""What is asked of the guest itself: trim and freeze, of one that has a file system and writes to it."""

from lxml.builder import E

from svmove.lab.specs import DELETED
from svmove.units import MiB
from tests.real.files import NAME, files_guest
from tests.real.world import World, disk


def test_what_the_guest_has_deleted_is_not_copied_and_it_is_frozen_for_the_cutover_alone(world: World) -> None:
    with files_guest(world):
        before = world.path("vda", NAME).stat().st_blocks * 512

        result = world.cli.move(NAME, "--to", "lab-b", "--trim", "--freeze")

        assert (result.code, result.document["findings"]) == (0, []), result.stdout
        (moved,) = result.document["disks"]
        assert moved["verified"]
        assert moved["trimmed_bytes"] >= DELETED - 2 * MiB
        assert moved["copied_bytes"] <= before - moved["trimmed_bytes"] + 2 * MiB
        assert 0 < result.document["seconds"]["pause"] < 2
        acts = [entry["what"] for entry in world.cli("show", "--json", result.document["move"]).document["history"]]
        assert acts.index("freeze") < acts.index("pivot") < acts.index("paused") < acts.index("thawed")


def test_a_guest_without_an_agent_is_refused_and_so_is_one_whose_agent_does_not_answer(world: World) -> None:
    channel = E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix")
    world.guest("mute", disk(world.image("mute.qcow2")))
    world.guest("deaf", disk(world.image("deaf.qcow2")), channel)
    for name, said in (("mute", "no channel"), ("deaf", "does not answer")):
        for option in ("--trim", "--freeze"):
            result = world.cli.move(name, "--to", "lab-b", option)
            assert (result.code, result.codes) == (3, ["no-agent"])
            assert said in result.stdout
