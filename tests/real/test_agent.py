"""What is asked of the guest itself: trim and freeze, of one that has a file system and writes to it."""

import time
from collections.abc import Iterator

import pytest

from svmove.lab import report
from svmove.lab.specs import DELETED, FILES_GUEST
from svmove.model import DomainState
from svmove.units import MiB
from tests.real.faults.test_kills import kill_at
from tests.real.world import World, disk, until

NAME = FILES_GUEST.name


def lines(world: World) -> int:
    """That the guest has written to its file, and found again."""
    found = [line for line in report.tail(world.lab.paths.console(NAME)) if isinstance(line, report.Files)]
    return found[-1].lines if found else 0


def writes(world: World) -> None:
    seen = lines(world)
    until(lambda: lines(world) > seen + 3, "the guest writes to its file system", 10.0)
    assert not [line for line in report.tail(world.lab.paths.console(NAME)) if isinstance(line, report.Dead)]


@pytest.fixture
def files(world: World) -> Iterator[World]:
    """A guest with a file system, that goes on writing lines after the test, with none lost."""
    world.lab.add_guest(FILES_GUEST)
    until(lambda: lines(world) > 2, "the guest has made its file system", 60.0)
    yield world
    writes(world)
    assert world.domain(NAME).marker is None


def test_what_the_guest_has_deleted_is_trimmed_shown_and_not_copied(files: World) -> None:
    before = files.path("vda", NAME).stat().st_blocks * 512

    result = files.cli.move(NAME, "--to", "lab-b", "--trim")

    assert result.code == 0, result.stdout
    (moved,) = result.document["disks"]
    assert moved["verified"]
    assert moved["trimmed_bytes"] >= DELETED - 2 * MiB
    assert moved["copied_bytes"] <= before - moved["trimmed_bytes"] + 2 * MiB


def test_the_guest_is_frozen_for_the_cutover_alone(files: World) -> None:
    result = files.cli.move(NAME, "--to", "lab-b", "--freeze")

    assert (result.code, result.document["findings"]) == (0, []), result.stdout
    assert result.document["disks"][0]["verified"]
    assert 0 < result.document["seconds"]["pause"] < 2
    acts = [entry["what"] for entry in files.cli("show", "--json", result.document["move"]).document["history"]]
    assert acts.index("freeze") < acts.index("pivot") < acts.index("paused") < acts.index("thawed")


@pytest.mark.parametrize(("call", "when"), [("suspend", "before"), ("request_pivot", "after")])
def test_a_guest_whose_svmove_is_killed_while_it_is_frozen_can_soon_write_again(
    files: World, call: str, when: str
) -> None:
    kill_at(files, call, 1, when, "move", NAME, "--to", "lab-b", "--freeze")
    began = time.monotonic()

    until(lambda: files.domain(NAME).state is DomainState.RUNNING, "the guest runs", 5.0)
    writes(files)

    assert time.monotonic() - began < 5
    result = files.cli("resume", "--json")
    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout


def test_an_agent_that_does_not_answer_is_refused_and_so_is_none(files: World) -> None:
    files.guest("mute", disk(files.image("mute.qcow2")))
    for option in ("--trim", "--freeze"):
        assert files.cli.move("mute", "--to", "lab-b", option).codes == ["no-agent"]
    files.virsh("suspend", NAME)  # nobody in there answers
    assert files.cli.move(NAME, "--to", "lab-b", "--freeze").codes == ["no-agent"]
    files.virsh("resume", NAME)
