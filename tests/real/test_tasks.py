"""Moves in the background, seen and steered from other processes; the ways out of HELD; a lost journal."""

import signal
from pathlib import Path

from svmove.errors import HypervisorError
from svmove.outcomes import State
from svmove.requests import DiskRequest, Request
from tests.real.cli import finished
from tests.real.faults.points import Once, Point, watched
from tests.real.world import GUEST, World, copying, until


def test_a_detached_move_is_seen_waited_for_and_told(guest: World) -> None:
    to = guest.other("vdb")
    begun = guest.cli("move", GUEST, "--to", to, "--disk", "vdb", "--bandwidth", "60MiB/s", "--detach", "--json")
    move = begun.document["move"]
    assert (begun.code, begun.document["state"], begun.document["error"]) == (0, "started", None)

    def rate() -> bool:
        (task,) = guest.cli("tasks", "--json").document["tasks"]
        assert (task["move"], task["state"], task["disks"]) == (move, "running", ["vdb"])
        return bool(task["rate"] and task["remaining_seconds"])

    until(rate, "the task pane has a rate")
    waited = guest.cli("wait", move, "--json")

    assert (waited.code, waited.document["state"], waited.document["disks"][0]["verified"]) == (0, "done", True)
    assert guest.path("vdb").parent.name == to
    shown = guest.cli("show", move, "--json").document
    assert [e["what"] for e in shown["history"] if e["kind"] == "phase"][-1] == "done"
    assert guest.cli("tasks", "--json").document["tasks"] == []
    assert (guest.journal_folder / "logs" / f"{move}.log").exists()


def test_a_move_that_was_left_goes_on_in_the_background(guest: World) -> None:
    to = guest.other("vdb")
    process = guest.cli.start("move", GUEST, "--to", to, "--disk", "vdb", "--bandwidth", "20MiB/s", "--json")
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    move = guest.domain().marker or ""
    refused = guest.cli("resume", move, "--detach", "--json")
    process.kill()
    finished(process)

    begun = guest.cli("resume", move, "--detach", "--json")
    assert guest.cli("set", move, "--bandwidth", "none").code == 0
    waited = guest.cli("wait", move, "--json")

    assert (refused.code, refused.codes) == (3, ["refused"])
    assert (begun.code, begun.document["state"], begun.document["error"]) == (0, "started", None)
    assert (waited.code, waited.document["state"], guest.path("vdb").parent.name) == (0, "done", to)


def test_a_move_is_cancelled_from_another_process(guest: World) -> None:
    before = guest.state(GUEST)
    words = ("move", GUEST, "--to", guest.other("vdb"), "--disk", "vdb", "--bandwidth", "20MiB/s", "--json")
    process = guest.cli.start(*words)
    until(lambda: copying(guest, ["vdb"]), "the copy runs")

    cancelled = guest.cli("cancel", guest.domain().marker or "", "--json")
    moved = finished(process)

    assert (cancelled.code, cancelled.document["state"]) == (0, "rolled-back"), cancelled.stderr
    assert (moved.code, moved.codes) == (130, ["interrupted"])
    assert guest.state(GUEST) == before


def test_the_bandwidth_of_a_running_move_is_changed_from_another_process(guest: World) -> None:
    to = guest.other("vdb")
    process = guest.cli.start("move", GUEST, "--to", to, "--disk", "vdb", "--bandwidth", "10MiB/s", "--json")
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    move = guest.domain().marker or ""
    # 256 MiB: 26 s at 10 MiB/s.
    changed = guest.cli("set", move, "--bandwidth", "none", "--json").document
    assert (changed["bandwidth"], changed["process"]) == (None, process.pid)
    result = finished(process)
    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stderr
    assert result.document["seconds"]["copy"] < 15


def test_a_copy_that_is_too_slow_for_its_deadline_is_rolled_back(guest: World) -> None:
    before = guest.state(GUEST)
    words = ("--disk", "vdb", "--bandwidth", "5MiB/s", "--deadline", "4s")
    result = guest.cli.move(GUEST, "--to", guest.other("vdb"), *words)
    assert (result.code, result.document["state"], result.codes) == (4, "rolled-back", ["deadline-exceeded"])
    assert "deadline-short" in [finding["code"] for finding in result.document["findings"]]
    assert result.document["seconds"]["total"] < 8
    assert guest.state(GUEST) == before


def unverified(world: World) -> tuple[str, Path, Path]:
    """A held move: its id, the source, and the destination, which the guest runs on."""

    def refuse() -> None:
        raise HypervisorError("no export today")

    source, to = world.path("vdb"), world.other("vdb")
    outcome = watched(world, Once(Point.PIVOTING, refuse)).move(
        Request(domain=GUEST, to=to, disks=(DiskRequest(target="vdb"),))
    )
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "unverified")
    return outcome.move or "", source, world.path("vdb")


def test_a_held_move_goes_back_live_and_the_old_source_is_kept(guest: World) -> None:
    move, source, destination = unverified(guest)
    assert guest.cli("rollback", move).code == 2  # nobody can be asked
    dry = guest.cli("rollback", move, "--dry-run", "--json").document
    assert (dry["way"], dry["disks"][0]["keeps"], dry["disks"][0]["loses"]) == (
        "back",
        [str(source)],
        [str(destination)],
    )

    back = guest.cli("rollback", move, "--yes", "--json")

    assert (back.code, back.document["state"], back.document["disks"][0]["verified"]) == (0, "done", True), back.stderr
    now = guest.path("vdb")
    assert (now.parent, now != source, source.exists(), destination.exists()) == (source.parent, True, True, False)
    assert guest.cli("show", move, "--json").document["state"] == "handed-over"
    assert str(source) in str(back.document["findings"])
    # What may be the only good copy of something is told, and never removed by itself.
    left = guest.cli("gc", "--yes", "--json").document["leftovers"]
    assert [(one["path"], one["removed"], one["kept"] is None) for one in left] == [(str(source), False, False)]
    assert source.exists()
    # For the tests after this one.
    source.unlink()
    guest.virsh("pool-refresh", source.parent.name)
    again = guest.cli.move(GUEST, "--to", guest.other("vdb"), "--disk", f"vdb,name={source.name}")
    assert again.code == 0, again.stdout


def test_a_held_move_goes_forward_by_a_persons_word(guest: World) -> None:
    move, source, destination = unverified(guest)
    assert guest.cli("accept", move, "--yes", "--json").code == 0
    assert (source.exists(), guest.path("vdb")) == (False, destination)


def test_a_move_whose_journal_is_lost_is_found_by_its_marker_held_and_taken_back(guest: World) -> None:
    source, to = guest.path("vdb"), guest.other("vdb")
    destination = guest.lab.paths.pool(to) / source.name
    process = guest.cli.start("move", GUEST, "--to", to, "--disk", "vdb", "--bandwidth", "20MiB/s")
    until(lambda: copying(guest, ["vdb"]), "the copy runs")
    process.send_signal(signal.SIGKILL)
    finished(process)
    for path in guest.cli.journal.parent.glob("journal.sqlite*"):
        path.unlink()

    (task,) = guest.cli("tasks", "--json").document["tasks"]
    assert (task["state"], task["disks"], task["domain"]) == ("unknown", ["vdb"], GUEST)
    refused = guest.cli.move(GUEST, "--to", to, "--disk", "vdb")
    assert (refused.code, task["move"] in refused.stdout) == (3, True)
    held = guest.cli("resume", task["move"], "--json")
    assert (held.code, held.document["state"], held.codes) == (5, "held", ["journal-lost"])
    back = guest.cli("rollback", task["move"], "--yes", "--json")

    assert (back.code, back.document["state"]) == (0, "rolled-back"), back.stderr
    assert (guest.path("vdb"), source.exists(), destination.exists()) == (source, True, True)
    assert "destination-kept" in str(back.document["findings"])
    assert guest.domain().marker is None
    destination.unlink()


def test_a_source_is_kept_for_its_time_and_collected_then_unless_somebody_wrote_to_it(guest: World) -> None:
    to, sources = guest.other(), {target: guest.path(target) for target in ("vda", "vdb")}
    result = guest.cli.move(GUEST, "--to", to, "--keep-for", "2s")
    assert (result.code, result.document["state"]) == (0, "done"), result.stdout + result.stderr
    assert [found["code"] for found in result.document["findings"]].count("source-waits") == 2
    with sources["vdb"].open("r+b") as file:
        file.write(b"x")
    until(lambda: "not over" not in guest.cli("gc").stdout, "its time is over")
    done = guest.cli("gc", "--yes", "--json")
    assert [(Path(one["path"]), one["removed"]) for one in done.document["leftovers"]] == [
        (sources["vda"], True),
        (sources["vdb"], False),
    ]
    assert not sources["vda"].exists()
    assert sources["vdb"].exists()
    assert "have written to it" in guest.cli("gc").stdout
    assert set(guest.where().values()) == {to}
