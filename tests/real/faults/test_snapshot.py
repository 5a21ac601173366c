"""Method snapshot. svmove or libvirtd killed, the guest stopped: between the freeze and the last merge."""

import pytest

from svmove.model import DomainState
from svmove.outcomes import State
from svmove.requests import Method
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Act, Point
from tests.real.faults.test_daemon import restarted
from tests.real.faults.test_guest import kill_qemu
from tests.real.faults.test_kills import ends_well, killed, move_words, runs
from tests.real.world import until

# The first pivot is the cutover's, the second one is the merge's switch.
KILLS = [
    ("create_volume", 2, "after"),
    ("lay_over", 1, "before"),
    pytest.param("lay_over", 1, "after", marks=pytest.mark.chosen),
    ("copy_image", 1, "after"),
    ("compare_local", 1, "after"),
    ("start_copy", 1, "before"),
    ("start_copy", 1, "after"),
    ("suspend", 1, "after"),
    ("request_pivot", 1, "after"),
    ("begin_export", 1, "after"),
    ("begin_merge", 1, "before"),
    ("begin_merge", 1, "after"),
    ("request_pivot", 2, "before"),
    pytest.param("request_pivot", 2, "after", marks=pytest.mark.chosen),
    ("delete_volume", 1, "after"),
]


def alone(scene: Scene) -> bool:
    """No overlay is left below or over the guest's disks."""
    return all(disk.chain == () for disk in scene.world.domain().live)


@pytest.mark.parametrize(("call", "number", "when"), KILLS)
def test_a_move_whose_svmove_is_killed_is_ended_by_one_resume(
    scene: Scene, row: Ended, call: str, number: int, when: str
) -> None:
    killed(scene, call, number, when, *move_words(scene), "--method", "snapshot")
    until(lambda: runs(scene), "the guest runs", 5.0)
    result = ends_well(scene)
    assert alone(scene)
    which = {1: "", 2: " (the second)"}[number]
    row("svmove killed, then svmove resume", f"{when} {call}{which}", scene.ended(result.document["move"]))


@pytest.mark.parametrize("point", [Point.FROZEN, Point.COMPARING, Point.MERGING])
def test_a_daemon_that_is_killed_and_comes_back_is_waited_for(scene: Scene, row: Ended, point: Point) -> None:
    outcome = scene.move(point, restarted(scene), method=Method.SNAPSHOT)
    assert outcome.state is State.DONE, outcome.error
    assert alone(scene)
    row("libvirtd killed, restarted at once", point, outcome)


@pytest.mark.parametrize("point", [Point.FROZEN, Point.COMPARING, Point.COPYING])
def test_qemu_is_killed_before_the_cutover_and_the_source_has_all_that_was_written(
    scene: Scene, row: Ended, point: Point
) -> None:
    outcome = scene.move(point, lambda: kill_qemu(scene), method=Method.SNAPSHOT)
    assert (outcome.state, scene.destination.exists()) == (State.ROLLED_BACK, False), outcome.error
    row("QEMU killed", point, outcome)


def test_qemu_is_killed_in_the_merge_and_the_destination_has_all_that_was_written(scene: Scene, row: Ended) -> None:
    """With the guest off it can't be proven that the source is not needed: both are kept, and told."""
    act: Act = lambda: kill_qemu(scene)  # noqa: E731
    outcome = scene.move(Point.MERGING, act, method=Method.SNAPSHOT)
    assert outcome.state is State.DONE, outcome.error
    domain = scene.world.domain()
    assert domain.state is DomainState.OFF
    disk = domain.inactive_disk("vdb")
    assert disk is not None
    assert disk.path == str(scene.destination)
    row("QEMU killed", Point.MERGING, outcome, left="the source and its overlay, which are told")
