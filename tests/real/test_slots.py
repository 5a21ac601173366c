"""Two svmove processes that share a budget: the second waits, is seen to, and goes on by itself."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server
from tests.real.cli import finished
from tests.real.world import GUEST, World, copying, disk, until

ONE = "[slots]\nhost = 1\n"


@pytest.fixture
def policy(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = world.folder / "policy.toml"
    path.write_text(ONE)
    monkeypatch.setenv("SVMOVE_POLICY", str(path))
    return path


def tasks(world: World) -> dict[str, dict[str, Any]]:
    """By domain."""
    return {task["domain"]: task for task in world.cli("tasks", "--json").document["tasks"]}


def processor(pid: int) -> float:
    """Seconds that the process has had of one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slow(world: World) -> "subprocess.Popen[str]":
    """A move of the lab's guest, under way: 256 MiB, which take longer than the test."""
    words = ("move", GUEST, "--to", world.other("vdb"), "--disk", "vdb", "--bandwidth", "3MiB/s", "--json")
    process = world.cli.start(*words)
    until(lambda: copying(world, ["vdb"]), "the copy runs")
    return process


def second(world: World) -> "subprocess.Popen[str]":
    """A move of another guest, which waits."""
    world.guest("small", disk(world.image("small.qcow2")))
    process = world.cli.start("move", "small", "--to", "lab-b", "--json")
    until(lambda: tasks(world).get("small", {}).get("waits") is not None, "the second move waits")
    return process


def test_the_second_waits_is_seen_and_goes_on_by_itself(guest: World, policy: Path) -> None:
    first = slow(guest)
    waits = second(guest)
    task = tasks(guest)["small"]
    assert (task["phase"], task["state"], task["process"]) == ("planned", "running", waits.pid)
    assert (task["waits"]["for"], task["waits"]["position"]) == ("host", 1)
    assert "waits for a slot of host" in guest.cli("tasks").stdout
    spent = processor(waits.pid)
    time.sleep(3)
    assert processor(waits.pid) - spent <= 0.03  # libvirt's threads and all
    assert guest.domain("small").marker is None
    assert not (guest.lab.paths.pool("lab-b") / "small.qcow2").exists()
    refused = guest.cli("move", "small", "--to", "lab-b", "--json")
    assert (refused.code, task["move"] in refused.stdout) == (3, True)  # it has a move that owns it, one that waits

    assert guest.cli("set", tasks(guest)[GUEST]["move"], "--bandwidth", "none").code == 0
    assert (finished(first).code, waits.poll()) == (0, None)
    result = finished(waits)

    assert (result.code, result.document["state"], result.document["disks"][0]["verified"]) == (0, "done", True)
    assert result.document["seconds"]["waited"] > 0
    assert guest.where("small") == {"vda": "lab-b"}


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, guest: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """With its journal in a file, or on a server."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        monkeypatch.setattr(guest.cli, "journal", server.emptied())
        monkeypatch.setenv("XDG_STATE_HOME", str(guest.folder))
    return guest


def test_when_the_first_is_killed_the_second_goes_on_and_the_first_is_resumed_without_a_wait(
    either: World, policy: Path
) -> None:
    guest = either
    first = slow(guest)
    waits = second(guest)
    move = tasks(guest)[GUEST]["move"]
    first.send_signal(signal.SIGKILL)
    finished(first)
    result = finished(waits)
    assert (result.code, result.document["state"]) == (0, "done"), result.stderr
    assert tasks(guest)[GUEST]["state"] == "left"
    assert guest.cli("set", move, "--bandwidth", "none").code == 0
    assert guest.cli("resume", move).code == 0


def test_one_that_waits_is_cancelled_or_refused_and_leaves_nothing(guest: World, policy: Path) -> None:
    first = slow(guest)
    waits = second(guest)
    cancelled = guest.cli("cancel", tasks(guest)["small"]["move"], "--json")
    result = finished(waits)
    assert (cancelled.code, cancelled.document["state"], result.code) == (0, "rolled-back", 130)

    refused = guest.cli("move", "small", "--to", "lab-b", "--no-wait", "--json")
    assert (refused.code, refused.document["state"], refused.codes) == (3, "refused", ["no-slot"])
    interrupted = guest.cli.start("move", "small", "--to", "lab-b", "--json")
    until(lambda: tasks(guest).get("small", {}).get("waits") is not None, "it waits")
    interrupted.send_signal(signal.SIGINT)
    assert finished(interrupted).code == 130
    assert guest.where("small") == {"vda": "lab-a"}
    assert not (guest.lab.paths.pool("lab-b") / "small.qcow2").exists()

    first.send_signal(signal.SIGINT)
    assert json.loads(first.communicate(timeout=60)[0])["state"] == "rolled-back"
