"""Ctrl-C, SIGTERM, SIGKILL: in the middle of a real copy."""

import signal

import pytest

from tests.real.cli import finished
from tests.real.world import GUEST, World, copying, until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_rolls_back_and_leaves_nothing(guest: World, number: signal.Signals) -> None:
    before = guest.state(GUEST)
    process = guest.cli.start("move", GUEST, "--to", guest.other(), "--bandwidth", "20MiB/s", "--json")
    until(lambda: copying(guest), "the copy runs")

    process.send_signal(number)
    result = finished(process)

    assert (result.code, result.document["state"], result.codes) == (130, "rolled-back", ["interrupted"]), result.stderr
    assert guest.state(GUEST) == before


def test_a_killed_move_is_refused_to_others_and_resumed_without_copying_again(guest: World) -> None:
    to = guest.other()
    process = guest.cli.start("move", GUEST, "--to", to, "--bandwidth", "110MiB/s")
    until(lambda: copying(guest), "the copy runs")
    process.kill()
    finished(process)
    copied = _copied(guest)

    other = guest.cli.move(GUEST, "--to", to)
    assert (other.code, other.codes[0]) == (3, "move-running")
    assert "svmove resume" in other.stdout
    # QEMU went on without us, and nothing began anew.
    assert _copied(guest) >= copied

    result = guest.cli("resume", "--json")

    assert (result.code, result.document["state"], guest.where()) == (0, "done", {"vda": to, "vdb": to})
    assert all(d["verified"] for d in result.document["disks"])
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}
    assert guest.cli("resume").stdout == "nothing to resume\n"


def _copied(world: World) -> int:
    job = world.hypervisor.job(world.domain().uuid, "vda")
    assert job is not None
    return job.done


def test_of_two_moves_at_once_one_is_refused_with_the_others_id(guest: World) -> None:
    to = guest.other()
    process = guest.cli.start("move", GUEST, "--to", to, "--disk", "vdb", "--bandwidth", "60MiB/s", "--json")
    until(lambda: guest.domain().marker is not None, "the first owns the guest")
    owner = guest.domain().marker

    second = guest.cli.move(GUEST, "--to", to, "--disk", "vda")
    first = finished(process)

    assert (second.code, second.codes[0], f"move {owner} owns" in second.stdout) == (3, "move-running", True)
    assert (first.code, first.document["move"]) == (0, owner)


def test_a_lost_terminal_does_not_end_a_move(guest: World) -> None:
    to = guest.other("vdb")
    process = guest.cli.start("move", GUEST, "--to", to, "--disk", "vdb")
    until(lambda: guest.domain().marker is not None, "the move has begun")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    process.stderr.close()

    process.wait(timeout=60)

    assert guest.where()["vdb"] == to
