"""Clock, journal, and others. What is around a move."""

import os
import signal
from pathlib import Path

import pytest

from svmove.clock import SystemClock
from svmove.journal import Journal
from svmove.lab.command import run
from svmove.outcomes import State
from svmove.requests import DiskRequest, Request
from tests.real.cli import finished
from tests.real.faults import storage
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Once, Point, watched
from tests.real.world import GUEST, copying, disk, until


class Settable(SystemClock):
    offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset


@pytest.mark.parametrize("point", [Point.COPYING, Point.VERIFYING])
def test_a_clock_that_is_set_back_an_hour_changes_nothing(scene: Scene, row: Ended, point: Point) -> None:
    clock = Settable()

    def set_back() -> None:
        clock.offset = -3600.0

    outcome = scene.move(point, set_back, clock=clock)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert all(seconds >= 0 for seconds in (outcome.seconds.total, outcome.seconds.copy, outcome.seconds.verify))
    row("clock set back an hour", point, outcome)


@pytest.mark.chosen
@pytest.mark.parametrize("point", [Point.COPYING, Point.READY, Point.SUSPENDED, Point.VERIFYING])
def test_a_journal_whose_disk_is_full_stops_the_move_and_it_goes_on_later(
    scene: Scene, row: Ended, point: Point
) -> None:
    folder = scene.world.folder / "narrow"
    folder.mkdir(mode=0o755)
    run(["mount", "-n", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", folder])
    try:
        journal = Journal(str(folder / "journal.sqlite"))
        once = Once(point, lambda: _fill(folder))
        # Scratch is elsewhere: it is the journal that is to suffer.
        mover = watched(scene.world, once, journal=journal)
        outcome = mover.move(Request(domain=GUEST, to=scene.to, disks=(DiskRequest(target="vdb"),)))
        assert once.happened
        assert scene.world.virsh("domstate", GUEST) == "running"
        assert outcome.error is not None
        assert (outcome.state, outcome.error.code) == (State.HELD, "journal"), outcome.error
        assert "svmove resume" in (outcome.error.remedy or "")
        (folder / "filling").unlink()
        resumed = scene.world.mover(journal=journal)
        outcome = resumed.resume(outcome.move or "")
        assert outcome.state in (State.DONE, State.ROLLED_BACK, State.HELD), outcome.error
        if outcome.state is State.HELD:
            row("journal's disk full, then space again, then svmove resume", point, outcome, left="both copies")
            outcome = resumed.accept(outcome.move or "")
            assert outcome.state is State.DONE
        else:
            row("journal's disk full, then space again, then svmove resume", point, outcome)
    finally:
        run(["umount", "-n", "--lazy", folder])


def _fill(folder: Path) -> None:
    with (folder / "filling").open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            return


def test_of_twenty_moves_at_once_one_owns_the_guest(scene: Scene, row: Ended) -> None:
    words = ("move", GUEST, "--to", scene.to, "--disk", "vdb", "--bandwidth", "5MiB/s", "--json")
    processes = [scene.world.cli.start(*words) for _ in range(20)]
    # The owner takes 50 s for its copy; the others need one of them until they are sent away.
    until(lambda: sum(process.poll() is None for process in processes) == 1, "19 are sent away", 120)
    (owner,) = (process for process in processes if process.poll() is None)
    until(lambda: copying(scene.world, ["vdb"]), "the copy runs")
    move = scene.world.domain().marker
    results = [finished(process) for process in processes if process is not owner]
    assert {result.code for result in results} == {3}
    assert [result.stdout for result in results if f"move {move} owns" not in result.stdout] == []
    owner.send_signal(signal.SIGINT)
    result = finished(owner)
    assert (result.code, result.document["move"]) == (130, move)
    row("20 moves started at once on one guest", "at the start", scene.ended(move))


def test_a_source_that_can_not_be_read_ends_the_copy(scene: Scene, row: Ended) -> None:
    """A guest without fio: what it would read itself would fail as well."""
    world = scene.world
    with storage.failing(world) as failing:
        image = failing.pool.folder / "weak.img"
        image.write_bytes(os.urandom(32 << 20))
        world.virsh("pool-refresh", failing.pool.name)
        described = disk(image, format_="raw")
        driver = described.find("driver")
        assert driver is not None
        driver.set("cache", "none")
        world.guest("weak", described)
        before = image.read_bytes()
        once = Once(Point.COPYING, failing.fail_reads)
        mover = watched(world, once)
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
        outcome = mover.move(Request(domain="weak", to="lab-a", bandwidth=4 << 20))
        failing.recover()
        assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "copy-failed")
        assert "Input/output error" in str(outcome.error)
        assert (world.path("vda", "weak"), image.read_bytes() == before) == (image, True)
        row("source: EIO on read (a guest without fio)", Point.COPYING, outcome, guest="running on the source")
        world.virsh("destroy", "weak")
