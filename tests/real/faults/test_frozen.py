"""A guest that is frozen. svmove is killed, or libvirtd dies, between the freeze and the thaw (`--freeze`)."""

import threading
import time

import pytest

from svmove.model import DomainState
from svmove.outcomes import State
from svmove.requests import Request
from tests.real.faults.points import Once, Point, watched
from tests.real.faults.record import Row, write
from tests.real.faults.test_kills import kill_at
from tests.real.files import NAME, files_guest
from tests.real.world import World, until


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("freeze", "before"),
        ("freeze", "after"),
        ("suspend", "after"),
        pytest.param("request_pivot", "after", marks=pytest.mark.chosen),
        ("resume", "after"),
    ],
)
def test_a_guest_whose_svmove_is_killed_while_it_is_frozen_can_soon_write_again(
    world: World, call: str, when: str
) -> None:
    with files_guest(world) as guest:
        pause = ("--max-pause", f"{world.max_pause:g}s")
        kill_at(world, call, 1, when, "move", NAME, "--to", "lab-b", "--freeze", *pause)
        began = time.monotonic()

        until(lambda: world.domain(NAME).state is DomainState.RUNNING, "the guest runs", world.max_pause + 3.0)
        guest.writes()
        seconds = time.monotonic() - began

        result = world.cli("resume", "--json")
        assert (result.code, result.document["state"]) == (0, "done"), result.stdout
        assert result.document["disks"][0]["verified"]
        assert world.domain(NAME).marker is None
    assert seconds < world.max_pause + 3.0
    write(
        Row(
            group="A guest that is frozen",
            fault="svmove killed (SIGKILL), then svmove resume",
            point=f"{when} {call}",
            ended=result.document["state"],
            guest="running on the destination, thawed",
            left="nothing",
        )
    )


def test_a_guest_whose_libvirtd_is_killed_while_it_is_frozen_is_thawed_when_it_is_back(world: World) -> None:
    daemon = world.lab.daemon

    def act() -> None:
        daemon.kill()
        threading.Thread(target=world.lab.start_daemon, daemon=True).start()

    with files_guest(world) as guest:
        outcome = watched(world, Once(Point.SUSPENDED, act)).move(Request(domain=NAME, to="lab-b", freeze=True))
        assert (outcome.state, outcome.findings) == (State.DONE, ()), outcome.error
        guest.writes()
        process = world.host.process(world.domain(NAME).uuid)
        assert process is not None
        assert world.host.holds(process, outcome.disks[0].destination)
    write(
        Row(
            group="A guest that is frozen",
            fault="libvirtd killed, restarted at once",
            point="in the cutover, before the pivot",
            ended=outcome.state,
            guest="running on the destination, thawed",
            left="nothing",
        )
    )
