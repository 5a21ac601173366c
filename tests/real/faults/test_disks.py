"""Several disks. One goes over, another does not: its copy is aborted while the guest stands in the cutover."""

from pathlib import Path

import pytest

from svmove.outcomes import DiskOutcome, GuestOn, Outcome, State
from svmove.policy import MovePolicy, Policy
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Point
from tests.real.world import GUEST, World, until

ONE_ROUND = Policy(move=MovePolicy(cutover_attempts=1))


@pytest.fixture
def scene(world: World) -> Scene:
    world.together()
    return Scene(world)


def aborted(scene: Scene, policy: Policy | None = None) -> Outcome:
    """vda goes over; the copy of vdb is gone when its turn comes."""

    def abort() -> None:
        scene.world.virsh("blockjob", GUEST, "vdb", "--abort")
        until(lambda: scene.world.hypervisor.job(scene.world.domain().uuid, "vdb") is None, "the job is gone")

    return scene.move(Point.BETWEEN, abort, policy=policy, disks=("vda", "vdb"), bandwidth=None)


def on(outcome: Outcome) -> dict[str, GuestOn]:
    disks: tuple[DiskOutcome, ...] = outcome.disks
    return {disk.target: disk.on for disk in disks}


def test_what_did_not_go_over_is_copied_again_and_goes_over(scene: Scene, row: Ended) -> None:
    outcome = aborted(scene)
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True]), outcome.error
    assert scene.world.where() == {"vda": scene.to, "vdb": scene.to}
    row("one of two pivots fails", Point.BETWEEN, outcome)


def test_when_it_is_not_tried_again_each_disk_is_good_where_it_is_and_accept_brings_the_rest_over(
    scene: Scene, row: Ended
) -> None:
    before = scene.world.path("vda")
    outcome = aborted(scene, ONE_ROUND)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "mixed"), outcome.error
    assert on(outcome) == {"vda": GuestOn.DESTINATION, "vdb": GuestOn.SOURCE}
    assert outcome.disks[0].verified
    assert (before.exists(), scene.source.exists()) == (True, True)
    where = "running, vda on the destination, vdb on the source"
    row("one of two pivots fails, without more tries", Point.BETWEEN, outcome, left="both copies", guest=where)
    done = scene.mover().accept(outcome.move or "")
    assert (done.state, [disk.verified for disk in done.disks]) == (State.DONE, [True, True]), done.error
    row("one of two pivots fails, without more tries; then svmove accept", Point.BETWEEN, done)


def test_the_way_back_is_a_move_like_any_other_and_nothing_written_since_is_lost(scene: Scene, row: Ended) -> None:
    before = scene.world.path("vda")
    outcome = aborted(scene, ONE_ROUND)
    assert outcome.state is State.HELD
    back = scene.mover().rollback(outcome.move or "")
    assert (back.state, [disk.verified for disk in back.disks]) == (State.DONE, [True]), back.error
    now = scene.world.path("vda")
    assert (now.parent, now != before, scene.world.path("vdb")) == (before.parent, True, scene.source)
    scene.kept.add(before)
    row(
        "one of two pivots fails, without more tries; then svmove rollback",
        Point.BETWEEN,
        back,
        left="the old source; told",
    )
    before.unlink()
    _name_as_before(scene, before)


def _name_as_before(scene: Scene, path: Path) -> None:
    """For the tests after this one."""
    there = scene.world.other("vda")
    result = scene.world.cli.move(GUEST, "--to", there, "--disk", f"vda,name={path.name}")
    assert result.code == 0, result.stdout
