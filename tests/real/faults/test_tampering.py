"""Somebody interferes. With the files, the pools, or the block job of a move."""

import os

import pytest

from svmove.lab.errors import LabError
from svmove.outcomes import Outcome, State
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Act, Point
from tests.real.world import GUEST

BEFORE = [Point.COPYING, Point.READY]


def code(outcome: Outcome) -> str | None:
    return outcome.error.code if outcome.error else None


@pytest.mark.parametrize("point", BEFORE)
def test_a_destination_that_is_removed_is_never_switched_to(scene: Scene, row: Ended, point: Point) -> None:
    outcome = scene.move(point, lambda: scene.destination.unlink())
    assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "destination-replaced")
    row("destination file removed", point, outcome)


@pytest.mark.parametrize("point", [Point.COPYING, Point.SUSPENDED])
def test_a_destination_that_is_truncated_is_never_switched_to(scene: Scene, row: Ended, point: Point) -> None:
    length = scene.source.stat().st_size

    def cut_off() -> None:
        os.truncate(scene.destination, length // 2)

    if point is Point.SUSPENDED:  # in the last moments before the pivot: while what is needed for it is made
        outcome = scene.move(Point.READY, cut_off)
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "destination-replaced"), outcome.error
        row("destination file truncated", Point.READY, outcome)
    else:
        outcome = scene.move(point, cut_off, bandwidth=20 << 20)
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "destination-replaced"), outcome.error
        row("destination file truncated", point, outcome)


def test_a_destination_that_is_removed_in_the_verification_leaves_the_source(scene: Scene, row: Ended) -> None:
    """The guest writes to a file without a name; the source is the newest one that has a name, so it stays."""
    kept = scene.destination.with_suffix(".somebody")
    scene.kept.add(kept)

    def rename() -> None:
        scene.destination.rename(kept)

    outcome = scene.move(Point.VERIFYING, rename)
    assert (outcome.state, code(outcome), scene.source.exists()) == (State.HELD, "unclear", True)
    kept.rename(scene.destination)
    row("destination file removed (renamed)", Point.VERIFYING, outcome, left="both copies")
    assert scene.mover().accept(outcome.move or "").state is State.DONE


def virsh(scene: Scene, *words: str) -> Act:
    def act() -> None:
        try:
            scene.world.virsh(*words)
        except LabError as error:  # refused: then that is what happens to somebody
            assert "block" in str(error) or "job" in str(error), error  # noqa: PT017

    return act


@pytest.mark.parametrize("point", BEFORE)
@pytest.mark.parametrize("verb", ["pool-destroy", "pool-undefine"])
def test_a_destination_pool_that_is_taken_away_does_not_hurt(scene: Scene, row: Ended, point: Point, verb: str) -> None:
    described = scene.world.virsh("pool-dumpxml", scene.to)

    def take_away() -> None:
        scene.world.virsh("pool-destroy", scene.to)
        if verb == "pool-undefine":
            scene.world.virsh("pool-undefine", scene.to)

    outcome = scene.move(point, take_away)
    if verb == "pool-undefine":
        file = scene.world.folder / "pool.xml"
        file.write_text(described)
        scene.world.virsh("pool-define", file)
        scene.world.virsh("pool-autostart", scene.to)
    scene.world.virsh("pool-start", scene.to)
    assert (outcome.state, outcome.disks[0].verified, scene.source.exists()) == (State.DONE, True, False)
    row("destination pool " + ("stopped" if verb == "pool-destroy" else "undefined"), point, outcome)


@pytest.mark.chosen
@pytest.mark.parametrize("point", [*BEFORE, Point.SUSPENDED])
def test_a_copy_that_somebody_aborts_is_rolled_back(scene: Scene, row: Ended, point: Point) -> None:
    outcome = scene.move(point, virsh(scene, "blockjob", GUEST, "vdb", "--abort", "--async"))
    assert (outcome.state, scene.destination.exists()) == (State.ROLLED_BACK, False), outcome.error
    row("somebody's virsh aborts the copy", point, outcome)


def test_somebodys_pivot_in_mid_copy_is_refused_by_libvirt(scene: Scene, row: Ended) -> None:
    outcome = scene.move(Point.COPYING, virsh(scene, "blockjob", GUEST, "vdb", "--pivot"))
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    row("somebody's virsh pivots", Point.COPYING, outcome)


def test_somebodys_pivot_when_ready_is_held_because_nothing_could_be_verified(scene: Scene, row: Ended) -> None:
    outcome = scene.move(Point.READY, virsh(scene, "blockjob", GUEST, "vdb", "--pivot"))
    assert (outcome.state, code(outcome), scene.source.exists()) == (State.HELD, "unverified", True), outcome.error
    row("somebody's virsh pivots", Point.READY, outcome, left="both copies")
    assert scene.mover().accept(outcome.move or "").state is State.DONE


def test_somebodys_snapshot_or_backup_is_refused_by_libvirt_or_left_alone(scene: Scene, row: Ended) -> None:
    def snapshot() -> None:
        with pytest.raises(LabError):
            scene.world.virsh("snapshot-create-as", GUEST, "mine", "--disk-only", "--no-metadata")

    outcome = scene.move(Point.COPYING, snapshot)
    assert outcome.state is State.DONE
    row("somebody takes a snapshot", Point.COPYING, outcome)
