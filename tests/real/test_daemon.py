"""The libvirt daemon is not there, or goes away in the middle. QEMU and the guest go on without it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from svmove.lab import Lab
from svmove.lab.watch import Watch
from svmove.outcomes import State
from svmove.requests import DiskRequest, Request
from tests.real.cli import finished
from tests.real.faults.points import Once, Point, watched
from tests.real.world import GUEST, World, copying, until


def test_no_daemon_is_an_error_of_its_own(world: World) -> None:
    nowhere = world.cli.uri.replace(str(world.lab.paths.socket), "/nonexistent/libvirt-sock")
    result = world.cli("move", GUEST, "--to", "lab-b", "--json", uri=nowhere)

    assert (result.code, result.document["state"], result.codes) == (6, "refused", ["libvirt-unreachable"])
    assert result.document["error"]["remedy"]
    assert world.cli("pools", uri=nowhere).code == 6


# Imports all as root, since a clone may lie where only root can read; then it is nobody.
_AS_NOBODY = """
import os, sys
import sqlite3.dbapi2, sqlalchemy.dialects.sqlite
import svmove.cli.main, svmove.mover, svmove.policy_file
import svmove.view.document, svmove.view.progress, svmove.view.tables
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(svmove.cli.main.run(sys.argv[1:]))
"""


@pytest.mark.here("who may use the socket on one's own host")
@pytest.mark.parametrize("words", [["pools"], ["move", GUEST, "--to", "lab-b"], ["plan", GUEST, "--to", "lab-b"]])
def test_a_user_without_rights_is_told_to_be_root(world: World, words: list[str]) -> None:
    before = world.state(GUEST)
    journal = world.folder / "nobody"
    journal.mkdir()
    os.chown(journal, 65534, 65534)
    argv = [sys.executable, "-c", _AS_NOBODY, "--connect", world.lab.uri, "--journal", f"{journal}/j.sqlite", *words]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (6, ""), done.stderr
    assert "Permission denied" in done.stderr
    assert "run svmove as root" in done.stderr
    assert world.state(GUEST) == before


def test_a_daemon_that_comes_back_is_waited_for(guest: World) -> None:
    to = guest.other()
    process = guest.cli.start("move", GUEST, "--to", to, "--bandwidth", "110MiB/s", "--json")
    until(lambda: copying(guest), "the copy runs")

    _kill(guest.lab)
    guest.lab.start_daemon()
    result = finished(process)
    guest.hypervisor.reconnect()

    assert (result.code, result.document["state"], guest.where()) == (0, "done", {"vda": to, "vdb": to}), result.stderr
    assert all(d["verified"] for d in result.document["disks"])
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}


def test_a_daemon_that_stays_away_leaves_a_move_that_can_be_resumed(guest: World) -> None:
    to = guest.other()
    policy = guest.folder / "policy.toml"
    policy.write_text('[retry]\nreconnect = "1s"\n')
    process = guest.cli.start("--policy", str(policy), "move", GUEST, "--to", to, "--bandwidth", "110MiB/s", "--json")
    until(lambda: copying(guest), "the copy runs")

    _kill(guest.lab)
    left = finished(process)
    guest.lab.start_daemon()

    assert (left.code, left.document["state"]) == (6, "held"), left.stderr
    error = left.document["error"]
    assert (error["code"], error["guest_on"]) == ("libvirt-unreachable", "source")
    assert f"svmove resume {left.document['move']}" in error["remedy"]

    guest.hypervisor.reconnect()
    assert guest.where()["vda"] != to
    assert guest.cli("resume", left.document["move"]).code == 0
    assert guest.where() == {"vda": to, "vdb": to}


def test_a_daemon_that_dies_in_the_cutover_does_not_leave_the_guest_standing(guest: World) -> None:
    """It is away for 5 s; the guest goes on at once, by QEMU's own monitor."""
    to = guest.other("vdb")

    def die() -> None:
        _kill(guest.lab)
        threading.Timer(5.0, guest.lab.start_daemon).start()

    mover = watched(guest, Once(Point.SUSPENDED, die))
    with Watch(guest.lab.console) as watch:
        outcome = mover.move(Request(domain=GUEST, to=to, disks=(DiskRequest(target="vdb"),)))
    assert watch.pause is not None
    # 5 s that the daemon was away, 2 s that were promised; half of that is far from both.
    assert watch.pause.suspended < 1.0
    assert outcome.state is State.DONE, outcome.error
    assert (outcome.disks[0].verified, guest.where()["vdb"]) == (True, to)


def test_a_daemon_that_is_started_again_has_the_mounts_and_the_network_that_its_guests_have(guest: World) -> None:
    process = guest.host.process(guest.domain().uuid)
    assert process is not None

    _kill(guest.lab)
    guest.lab.start_daemon()
    guest.hypervisor.reconnect()

    daemon = guest.lab.daemon.pid()
    for kind in ("mnt", "net"):
        assert Path(f"/proc/{daemon}/ns/{kind}").readlink() == Path(f"/proc/{process.pid}/ns/{kind}").readlink()


def _kill(lab: Lab) -> None:
    assert lab.daemon.pid() is not None
    lab.daemon.kill()
    until(lambda: lab.daemon.pid() is None, "the daemon is gone")
