"""Storage. It is full, fails, hangs, is slow, or is gone."""

import re
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from svmove.lab.report import Sample
from svmove.lab.watch import Watch
from svmove.outcomes import Outcome, State
from svmove.policy import ConvergePolicy, MovePolicy, PathPolicy, Policy, SpacePolicy
from svmove.units import KiB, MiB
from tests.real.faults import storage
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Act, Point
from tests.real.world import GUEST

BEFORE = [Point.COPYING, Point.READY]
NO_RESERVE = Policy(space=SpacePolicy(reserve=0))


def full(pool: storage.Pool, leave: int) -> Act:
    def act() -> None:
        storage.fill(pool.folder, leave)

    return act


def code(outcome: Outcome) -> str | None:
    return outcome.error.code if outcome.error else None


@pytest.mark.chosen
def test_a_destination_that_runs_full_is_told_as_such(scene: Scene, row: Ended) -> None:
    with storage.small(scene.world, "500M") as pool:
        outcome = scene.move(Point.COPYING, full(pool, 4 * MiB), policy=NO_RESERVE, to=pool.name)
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "no-space")
        assert {path.name for path in pool.folder.iterdir()} == {"filling", "lost+found"}
        row("destination full", Point.COPYING, outcome)


@pytest.mark.parametrize("point", BEFORE)
def test_a_destination_that_fails_to_write_is_given_up(scene: Scene, row: Ended, point: Point) -> None:
    with storage.failing(scene.world) as disk:
        outcome = scene.move(point, disk.fail_writes, to=disk.pool.name)
        assert outcome.state in (State.ROLLED_BACK, State.DONE), outcome.error
        if outcome.state is State.DONE:
            scene.destination = disk.pool.folder / scene.source.name
        left = "the destination, which can't be deleted on that disk; it is told" if _kept(outcome) else "nothing"
        disk.recover()
        if outcome.state is State.DONE:  # it began to fail when nothing was left to be written: the guest met it
            scene.world.virsh("destroy", GUEST)
        row("destination: EIO on write", point, outcome, left=left)
        if outcome.state is State.DONE:
            _move_back(scene)


def _kept(outcome: Outcome) -> bool:
    return any(finding.code == "destination-kept" for finding in outcome.findings)


@pytest.mark.parametrize("point", BEFORE)
def test_a_destination_whose_server_is_killed_is_given_up(scene: Scene, row: Ended, point: Point) -> None:
    with storage.failing(scene.world) as disk:
        outcome = scene.move(point, disk.kill, to=disk.pool.name)
        assert outcome.state is State.ROLLED_BACK, outcome.error
        left = "the destination, which can't be deleted on that disk; it is told" if _kept(outcome) else "nothing"
        row("destination: server killed", point, outcome, left=left)


@pytest.mark.parametrize("point", BEFORE)
def test_a_destination_that_hangs_for_a_while_is_waited_for_and_not_felt(
    scene: Scene, row: Ended, point: Point
) -> None:
    with storage.failing(scene.world) as disk:

        def hang() -> None:
            disk.stop()
            threading.Timer(6.0, disk.go_on).start()

        with Watch(scene.world.lab.console) as watch:
            outcome = scene.move(point, hang, to=disk.pool.name)
        assert watch.pause is not None
        # 6 s that it hung, 2 s that were promised; half of it is far from both.
        assert watch.pause.suspended < 1.0
        assert outcome.state is State.DONE, outcome.error
        _move_back(scene)
        row("destination: server stopped for 6 s", point, outcome)


def _move_back(scene: Scene) -> None:
    pool = scene.source.parent.name
    result = scene.world.cli.move(GUEST, "--to", pool, "--disk", "vdb")
    assert result.code == 0, result.stdout
    assert scene.world.path("vdb") == scene.source


def test_a_slow_destination_is_known_before_anything_is_copied_to_it(scene: Scene, row: Ended) -> None:
    """virsh blockcopy shows 0 % there for minutes, and is never ready."""
    with storage.failing(scene.world, delay_write="1500ms") as disk:
        began = time.monotonic()
        with Watch(scene.world.lab.console) as watch:
            outcome = scene.move(Point.PREPARED, lambda: None, to=disk.pool.name, bandwidth=None)
        assert time.monotonic() - began < 60
        assert watch.pause is None or watch.pause.suspended < 0.1
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "never-ready"), outcome.error
        assert outcome.error is not None
        assert re.search(
            r"a write of 64.0 KiB to \S+ takes 1\.[5-9] s .* (3|4)\d\.\d KiB/s, and \d+ h", outcome.error.text
        )

        assert {path.name for path in disk.pool.folder.iterdir()} == {"lost+found"}
        row("destination: 1.5 s a write, no deadline", Point.PREPARED, outcome)


def test_a_slow_destination_that_was_wanted_all_the_same_can_be_left_by_cancelling(scene: Scene, row: Ended) -> None:
    with storage.failing(scene.world, delay_write="1500ms") as disk:
        cancelled: list[float] = []

        def cancel() -> None:
            move = scene.world.domain().marker
            assert move is not None
            cancelled.append(time.monotonic())
            scene.world.cli.start("cancel", move)

        # It is in no hurry: the copy begins, with little in flight.
        patient = Policy(move=MovePolicy(max_pause=10.0))
        outcome = scene.move(
            Point.COPYING, lambda: threading.Timer(5.0, cancel).start(), to=disk.pool.name, policy=patient
        )
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "interrupted"), outcome.error

        assert time.monotonic() - cancelled[0] < 60
        assert "slow-destination" in {finding.code for finding in outcome.findings}
        row("destination: 1.5 s a write, then svmove cancel", Point.COPYING, outcome)


def test_a_slow_destination_is_given_up_at_the_deadline(scene: Scene, row: Ended) -> None:
    with storage.failing(scene.world, delay_write="1500ms") as disk:
        outcome = scene.move(Point.PREPARED, lambda: None, to=disk.pool.name, deadline=15.0)
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "deadline-exceeded"), outcome.error
        row("destination: 1.5 s a write, with a deadline of 15 s", Point.PREPARED, outcome)


# A move with this policy would still wait for a write of 64 KiB that takes 125 ms, so 512 KiB/s are the least.
HURRIED = Policy(move=MovePolicy(max_pause=0.5), converge=ConvergePolicy(standstill=10.0))
CRAWL = 400 * KiB  # bytes per second


def test_a_destination_that_becomes_slow_in_mid_copy_is_known_and_given_up(scene: Scene, row: Ended) -> None:
    with storage.failing(scene.world) as disk:
        began = list[float]()

        def slow_down() -> None:
            disk.slow_down(CRAWL)
            began.append(time.monotonic())

        with Watch(scene.world.lab.console) as watch:
            outcome = scene.move(Point.COPYING, slow_down, to=disk.pool.name, policy=HURRIED, bandwidth=None)
            took = time.monotonic() - began[0]
        print(f"known and over after {took:.1f} s")
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "never-ready"), outcome.error
        assert outcome.error is not None
        assert re.search(r"MiB were copied to \S+ in .*, \d+\.\d KiB/s; \S+ MiB are left, which is", outcome.error.text)
        assert took < 180  # two windows, each as long as 16 MiB take, and the end of those in flight
        goes_on(watch, 60.0)
        assert {path.name for path in disk.pool.folder.iterdir()} == {"lost+found"}
        row("destination: 400 KiB/s from then on", Point.COPYING, outcome)


def test_a_destination_that_becomes_slow_in_mid_copy_can_be_left_by_cancelling(scene: Scene, row: Ended) -> None:
    with storage.failing(scene.world) as disk:
        cancelled = list[float]()

        def cancel() -> None:
            move = scene.world.domain().marker
            assert move is not None
            cancelled.append(time.monotonic())
            scene.world.cli.start("cancel", move)

        def slow_down() -> None:
            disk.slow_down(CRAWL)
            threading.Timer(5.0, cancel).start()

        with Watch(scene.world.lab.console) as watch:
            outcome = scene.move(Point.COPYING, slow_down, to=disk.pool.name, bandwidth=None)
            took = time.monotonic() - cancelled[0]
        print(f"over {took:.1f} s after svmove cancel")
        assert (outcome.state, code(outcome)) == (State.ROLLED_BACK, "interrupted"), outcome.error
        assert took < 90  # 16 MiB in flight: 41 s
        goes_on(watch, 60.0)
        assert {path.name for path in disk.pool.folder.iterdir()} == {"lost+found"}
        row("destination: 400 KiB/s from then on, then svmove cancel", Point.COPYING, outcome)


def goes_on(watch: Watch, at_most: float) -> None:
    """It never stood, and no write took longer than what was in flight: QEMU's main loop may wait that long in
    io_submit (docs/internals.md, Convergence)."""
    waits = list[float]()
    for target in ("vda", "vdb"):
        samples = [(at, line.writes) for at, line in watch.lines if isinstance(line, Sample) and line.job == target]
        grew = [at for (_, before), (at, now) in pairwise(samples) if now > before]
        waits.append(max(after - at for at, after in pairwise(grew)))
    assert watch.pause is not None
    print(f"the guest's longest wait {max(waits):.1f} s, its longest write {watch.pause.worst_write:.3f} s")
    assert watch.pause.suspended < 1.0
    assert max(waits) < at_most


def test_scratch_space_that_runs_full_is_not_felt_by_the_guest(scene: Scene, row: Ended) -> None:
    """Space is taken away below the reserve; the verification gives way before QEMU would pause the guest."""
    with storage.small(scene.world, "400M", "narrow") as pool:
        pool.folder.chmod(0o711)
        policy = Policy(
            paths=PathPolicy(scratch=str(pool.folder / "svmove")), space=SpacePolicy(scratch_reserve=100 * MiB)
        )
        outcome = scene.move(Point.VERIFYING, full(pool, 20 * MiB), policy=policy)
        assert (outcome.state, code(outcome)) == (State.HELD, "unverified"), outcome.error
        assert scene.world.virsh("domstate", GUEST) == "running"
        assert not Path(pool.folder / "svmove" / (outcome.move or "")).exists()
        row("scratch space full", Point.VERIFYING, outcome, left="both copies")
        assert scene.mover().accept(outcome.move or "").state is State.DONE
