"""A guest that is off. svmove killed, the guest started when the lock is lost, the destination full."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from svmove.host.command import run
from svmove.model import DomainState
from svmove.outcomes import Outcome, State
from svmove.requests import Method, Request
from svmove.units import MiB
from tests.real.faults import storage
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import wrapped
from tests.real.faults.test_kills import killed
from tests.real.faults.test_storage import NO_RESERVE
from tests.real.world import World, disk, until

NAME = "cold"
ON_SOURCE, ON_COPY = "off, next start from the source", "off, next start from the destination"
POINTS = [
    ("begin", 1, "after"),
    ("set_marker", 1, "after"),
    ("create_volume", 1, "after"),
    ("copy_image", 1, "before"),
    ("copy_image", 1, "after"),
    ("compare_local", 1, "after"),
    ("set_sources", 1, "before"),
    pytest.param("set_sources", 1, "after", marks=pytest.mark.chosen),
    ("delete_volume", 1, "before"),
    ("delete_volume", 1, "after"),
    ("set_marker", 2, "before"),
    ("set_marker", 2, "after"),
]


class Cold:
    """A guest that is off, with 16 MiB of data."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = world.image(f"{NAME}.img", "16M", "raw")
        run(["qemu-io", "-f", "raw", "-c", "write -P 31 0 16M", str(self.source)])
        world.guest(NAME, disk(self.source, format_="raw"), start=False)
        self.copy = world.lab.paths.pool("lab-b") / self.source.name

    @property
    def starts_from(self) -> Path:
        (found,) = self.world.domain(NAME).inactive
        return Path(found.path or "")

    def cut_off(self) -> str:
        """The move, whose svmove was killed in mid-copy."""
        process = self.world.cli.start("move", NAME, "--to", "lab-b", "--bandwidth", "2MiB/s")
        until(lambda: self.copy.exists() and self.copy.stat().st_blocks * 512 > MiB, "the copy is under way", 60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return self.world.domain(NAME).marker or ""

    def off_again(self) -> None:
        process = self.world.host.process(self.world.domain(NAME).uuid)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)  # virsh destroy takes a second
        until(lambda: self.world.domain(NAME).state is DomainState.OFF, "libvirt has seen the end of QEMU")


@pytest.fixture
def cold(scene: Scene) -> Cold:
    made = Cold(scene.world)
    scene.kept |= {made.source, made.copy}
    return made


def code(outcome: Outcome) -> str | None:
    return outcome.error.code if outcome.error else None


@pytest.mark.parametrize(("call", "number", "when"), POINTS)
def test_a_move_whose_svmove_is_killed_is_ended_by_one_resume(
    scene: Scene, row: Ended, cold: Cold, call: str, number: int, when: str
) -> None:
    killed(scene, call, number, when, "move", NAME, "--to", "lab-b")
    assert cold.starts_from.exists()
    result = scene.world.cli("resume", "--json")
    assert (result.code, result.document["state"]) == (0, "done"), result.stdout + result.stderr
    assert result.document["disks"][0]["verified"]
    assert (cold.starts_from, cold.source.exists()) == (cold.copy, False)
    run(["qemu-io", "-f", "raw", "-r", "-c", "read -P 31 0 16M", str(cold.copy)])
    row("svmove killed, then svmove resume", f"{when} {call}", scene.ended(result.document["move"]), guest=ON_COPY)


def test_a_guest_that_was_started_when_the_lock_was_lost_stays_on_its_source(
    scene: Scene, row: Ended, cold: Cold
) -> None:
    move = cold.cut_off()
    scene.world.virsh("start", NAME)
    result = scene.world.cli("resume", "--json")
    assert (result.code, result.codes) == (4, ["guest-started"]), result.stdout
    assert scene.world.where(NAME) == {"vda": "lab-a"}
    assert not cold.copy.exists()
    row("svmove killed, the guest started", "in mid-copy", scene.ended(move), guest="running on the source")


@pytest.mark.parametrize("writes", [True, False])
def test_a_guest_that_ran_when_the_lock_was_lost_makes_the_copy_stale_if_it_wrote(
    scene: Scene, row: Ended, cold: Cold, writes: bool
) -> None:
    move = cold.cut_off()
    scene.world.virsh("start", NAME)
    cold.off_again()
    if writes:
        run(["qemu-io", "-f", "raw", "-c", "write -P 32 0 1M", str(cold.source)])
    result = scene.world.cli("resume", "--json")
    outcome = scene.ended(move)
    assert (outcome.state, code(outcome)) == ((State.ROLLED_BACK, "source-changed") if writes else (State.DONE, None))
    assert result.code == (4 if writes else 0)
    assert (cold.source.exists(), cold.copy.exists()) == (writes, not writes)
    value = 32 if writes else 31
    run(["qemu-io", "-f", "raw", "-r", "-c", f"read -P {value} 0 1M", str(cold.starts_from)])
    fault = f"svmove killed, the guest started, it {'wrote' if writes else 'wrote nothing'}, and ended"
    row(fault, "in mid-copy", outcome, guest=ON_SOURCE if writes else ON_COPY)


def test_a_destination_that_runs_full_is_told_as_such(scene: Scene, row: Ended, cold: Cold) -> None:
    with storage.small(scene.world, "64M") as pool:

        def around(name: str, method: Any, args: Any, kwargs: Any) -> Any:
            if name == "copy_image":
                storage.fill(pool.folder, 4 * MiB)
            return method(*args, **kwargs)

        outcome = wrapped(scene.world, around, policy=NO_RESERVE).move(Request(domain=NAME, to=pool.name))
        assert (outcome.method, outcome.state, code(outcome)) == (Method.OFFLINE, State.ROLLED_BACK, "no-space")
        assert {path.name for path in pool.folder.iterdir()} == {"filling", "lost+found"}
    assert cold.starts_from == cold.source
    row("destination full", "in mid-copy", outcome, guest=ON_SOURCE)
