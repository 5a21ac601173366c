"""The guest and its QEMU. What somebody, or fate, does to them in the middle of a move."""

import os
import signal

import pytest

from svmove.lab.errors import LabError
from svmove.model import DomainState
from svmove.outcomes import State
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Act, Point
from tests.real.world import GUEST, until

BEFORE = [Point.COPYING, Point.READY]


def virsh(scene: Scene, verb: str) -> Act:
    def act() -> None:
        scene.world.virsh(verb, GUEST)

    return act


def kill_qemu(scene: Scene) -> None:
    process = scene.world.host.process(scene.world.domain().uuid)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: scene.world.domain().state is DomainState.OFF, "libvirt sees that QEMU is gone")


@pytest.mark.parametrize("point", BEFORE)
def test_qemu_is_killed_before_the_cutover_and_the_source_is_what_starts_again(
    scene: Scene, row: Ended, point: Point
) -> None:
    outcome = scene.move(point, lambda: kill_qemu(scene))
    assert (outcome.state, scene.destination.exists()) == (State.ROLLED_BACK, False)
    row("QEMU killed", point, outcome)


def test_qemu_is_killed_during_the_verification_and_the_destination_is_what_starts_again(
    scene: Scene, row: Ended
) -> None:
    outcome = scene.move(Point.VERIFYING, lambda: kill_qemu(scene))
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "unverified")
    assert (scene.source.exists(), scene.destination.exists()) == (True, True)
    row("QEMU killed", Point.VERIFYING, outcome, left="both copies")
    accepted = scene.mover().accept(outcome.move or "")
    assert (accepted.state, scene.source.exists()) == (State.DONE, False)


@pytest.mark.parametrize("point", BEFORE)
def test_a_guest_that_is_shut_down_before_the_cutover_starts_again_from_its_source(
    scene: Scene, row: Ended, point: Point
) -> None:
    outcome = scene.move(point, virsh(scene, "destroy"))
    assert (outcome.state, scene.destination.exists()) == (State.ROLLED_BACK, False)
    row("guest shut down", point, outcome)


def test_a_guest_that_is_shut_down_during_the_verification_starts_again_from_its_destination(
    scene: Scene, row: Ended
) -> None:
    outcome = scene.move(Point.VERIFYING, virsh(scene, "destroy"))
    assert (outcome.state, scene.source.exists()) == (State.HELD, True)
    row("guest shut down", Point.VERIFYING, outcome, left="both copies")


@pytest.mark.parametrize("point", [*BEFORE, Point.VERIFYING])
def test_a_guest_that_is_reset_is_moved_all_the_same(scene: Scene, row: Ended, point: Point) -> None:
    outcome = scene.move(point, virsh(scene, "reset"))
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
    since = scene.world.lab.console.stat().st_size
    scene.world.lab._await_writes(["vda", "vdb"], since, 60.0, samples=1)
    row("guest rebooted (reset)", point, outcome)


@pytest.mark.parametrize("point", [*BEFORE, Point.VERIFYING])
def test_a_guest_that_an_operator_pauses_is_moved_and_stays_paused(scene: Scene, row: Ended, point: Point) -> None:
    outcome = scene.move(point, virsh(scene, "suspend"))
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert scene.world.virsh("domstate", GUEST) == "paused"
    guest = scene.where()
    scene.world.virsh("resume", GUEST)
    assert "paused" in guest
    row("guest paused by the operator", point, outcome, left="nothing; it stays paused")


@pytest.mark.parametrize("point", [*BEFORE, Point.VERIFYING])
def test_a_disk_can_not_be_unplugged_while_it_is_moved(scene: Scene, row: Ended, point: Point) -> None:
    said: list[str] = []

    def unplug() -> None:
        try:
            scene.world.virsh("detach-disk", GUEST, "vdb")
        except LabError as error:
            said.append(str(error))

    outcome = scene.move(point, unplug)
    if point is Point.VERIFYING and not said:
        # libvirt asks the guest, and this one does not answer: the disk stays.
        assert scene.world.domain().disk("vdb") is not None
    assert outcome.state is State.DONE
    row("disk unplugged by the operator", point, outcome, left="nothing; libvirt refuses, or the guest keeps it")
