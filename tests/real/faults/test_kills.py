"""svmove itself. A real SIGKILL of a real process; signals; a process that is stopped and goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from svmove.journal import Journal
from svmove.lab.watch import Watch
from svmove.model import DomainState
from tests.real.cli import Result, finished
from tests.real.faults.conftest import Ended, Scene
from tests.real.world import GUEST, World, copying, until

_ROOT = Path(__file__).parents[3]

# Before and after each act of a move, in their order. The marker is set first (1) and removed last (2).
POINTS = [
    ("begin", 1, "after"),
    ("set_marker", 1, "after"),
    ("create_volume", 1, "before"),
    ("create_volume", 1, "after"),
    ("start_copy", 1, "before"),
    ("start_copy", 1, "after"),
    ("make_scratch", 1, "before"),
    ("make_scratch", 1, "after"),
    ("suspend", 1, "before"),
    pytest.param("suspend", 1, "after", marks=pytest.mark.chosen),
    ("request_pivot", 1, "before"),
    pytest.param("request_pivot", 1, "after", marks=pytest.mark.chosen),
    ("begin_export", 1, "before"),
    ("begin_export", 1, "after"),
    ("resume", 1, "after"),
    ("compare", 1, "after"),
    ("end_export", 1, "before"),
    ("end_export", 1, "after"),
    pytest.param("delete_volume", 1, "before", marks=pytest.mark.chosen),
    ("delete_volume", 1, "after"),
    ("set_marker", 2, "before"),
    ("set_marker", 2, "after"),
]


def killed(scene: Scene, call: str, number: int, when: str, *words: str) -> None:
    kill_at(scene.world, call, number, when, *words)


def kill_at(world: World, call: str, number: int, when: str, *words: str) -> None:
    argv = [*world.cli.before, sys.executable, "-m", "tests.real.faults.killing", call, str(number), when]
    options = ["--connect", world.cli.uri, "--journal", str(world.cli.journal)]
    done = subprocess.run(
        [*argv, *options, *words], cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def move_words(scene: Scene, bandwidth: str = "400MiB/s") -> tuple[str, ...]:
    pause = f"{scene.world.max_pause:g}s"
    return ("move", GUEST, "--to", scene.to, "--disk", "vdb", "--bandwidth", bandwidth, "--max-pause", pause)


def runs(scene: Scene) -> bool:
    return scene.world.domain().state is DomainState.RUNNING


def let_go(scene: Scene) -> None:
    """The guard has done its part. Over SSH the guest runs a second before that, and resume is sent away so long."""
    journal = Journal(str(scene.world.cli.journal))
    until(lambda: all(journal.owner(move.move) is None for move in journal.moves()), "the guard lets the move go")


def ends_well(scene: Scene) -> Result:
    """One resume ends the move, and a second one finds nothing to do."""
    let_go(scene)
    result = scene.world.cli("resume", "--json")
    assert (result.code, result.document["state"]) == (0, "done"), result.stdout + result.stderr
    assert result.document["disks"][0]["verified"]
    assert not scene.source.exists()
    again = scene.world.cli("resume")
    assert (again.code, again.stdout) == (0, "nothing to resume\n")
    return result


@pytest.mark.parametrize(("call", "number", "when"), POINTS)
def test_a_move_whose_svmove_is_killed_is_ended_by_one_resume_and_the_guest_hardly_feels_it(
    scene: Scene, row: Ended, call: str, number: int, when: str
) -> None:
    with Watch(scene.world.lab.console) as watch:
        killed(scene, call, number, when, *move_words(scene))
        until(lambda: runs(scene), "the guest runs", scene.world.max_pause + 3.0)
        if call == "set_marker" and number == 2 and when == "after":
            # All was done but the last line of the journal.
            assert scene.world.domain().marker is None
        result = ends_well(scene)
    assert watch.pause is not None
    # By default 2 s are promised; the guard takes less than one.
    assert watch.pause.suspended < scene.world.max_pause
    row("svmove killed, then svmove resume", f"{when} {call}", scene.ended(result.document["move"]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("start_copy", 1, "after"), ("suspend", 1, "after")),
        (("suspend", 1, "after"), ("begin_export", 1, "after")),
        (("request_pivot", 1, "after"), ("end_export", 1, "before")),
        (("end_export", 1, "before"), ("delete_volume", 1, "after")),
    ],
)
def test_a_resume_that_is_killed_as_well_is_resumed(
    scene: Scene, row: Ended, first: tuple[str, int, str], second: tuple[str, int, str]
) -> None:
    killed(scene, *first, *move_words(scene))
    until(lambda: runs(scene), "the guest runs", scene.world.max_pause + 3.0)
    let_go(scene)
    killed(scene, *second, "resume")
    until(lambda: runs(scene), "the guest runs", scene.world.max_pause + 3.0)
    result = ends_well(scene)
    point = f"{first[2]} {first[0]}, and {second[2]} {second[0]}"
    row("svmove killed, then svmove resume killed, then svmove resume", point, scene.ended(result.document["move"]))


def test_a_roll_back_that_is_killed_is_rolled_back_by_resume(scene: Scene, row: Ended) -> None:
    """Which of the two ways it goes is decided by where it was; what it must not do is leave anything."""
    killed(scene, "start_copy", 1, "after", *move_words(scene, "20MiB/s"))
    move = scene.world.domain().marker or ""
    killed(scene, "cancel_copy", 1, "after", "cancel", move)
    result = scene.world.cli("resume", "--all", "--json")
    assert result.code == 4, result.stdout
    assert [one["state"] for one in result.document["moves"]] == ["rolled-back"]
    assert (scene.source.exists(), scene.destination.exists()) == (True, False)
    row("svmove cancel killed, then svmove resume", "after cancel_copy", scene.ended(move))


def test_two_signals_leave_at_once_and_the_move_goes_on_later(scene: Scene, row: Ended) -> None:
    process = scene.world.cli.start(*move_words(scene, "60MiB/s"))
    until(lambda: copying(scene.world, ["vdb"]), "the copy runs")
    move = scene.world.domain().marker
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    left = finished(process)
    assert left.code == 5
    assert "svmove resume" in left.stderr
    ends_well(scene)
    row("Ctrl-C and SIGTERM at once, then svmove resume", "in mid-copy", scene.ended(move))


@pytest.mark.parametrize("phase", ["copying", "verifying"])
def test_a_process_that_is_stopped_and_goes_on_ends_its_move(scene: Scene, row: Ended, phase: str) -> None:
    process = scene.world.cli.start(*move_words(scene, "100MiB/s"))
    until(lambda: copying(scene.world, ["vdb"]), "the copy runs")
    move = scene.world.domain().marker
    if phase == "verifying":
        until(lambda: scene.world.domain().job == "backup" and runs(scene), "it verifies")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(4.0)
    assert runs(scene)
    os.kill(process.pid, signal.SIGCONT)
    assert finished(process).code == 0
    row("svmove stopped (SIGSTOP) for 4 s", "in mid-copy" if phase == "copying" else phase, scene.ended(move))
