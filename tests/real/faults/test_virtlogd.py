"""virtlogd. The lab's daemon does without; here it is started with one, which takes what QEMU prints, and is killed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from svmove.lab.command import run
from svmove.outcomes import State
from svmove.requests import Request
from svmove.units import MiB
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Once, Point, watched
from tests.real.world import World, disk, until


@contextmanager
def logging_daemon(world: World) -> Iterator["subprocess.Popen[bytes]"]:
    """libvirtd with `stdio_handler = "logd"`, and its virtlogd, both in the lab's namespaces (a guest keeps them)."""
    lab, process = world.lab, world.host.process(world.domain().uuid)
    assert process is not None
    inside = ["nsenter", "--mount", "--net", f"--target={process.pid}"]
    conf = lab.paths.etc / "qemu.conf"
    with ExitStack() as stack:
        stack.callback(world.hypervisor.reconnect)
        stack.callback(lab.start_daemon)  # which writes its own qemu.conf
        stack.callback(lab.daemon.kill)
        lab.daemon.kill()
        conf.write_text(conf.read_text().replace('"file"', '"logd"'))
        virtlogd = subprocess.Popen([*inside, "virtlogd"], stderr=subprocess.DEVNULL)
        stack.callback(virtlogd.wait)
        stack.callback(virtlogd.kill)
        lab.paths.socket.unlink(missing_ok=True)
        pidfile = lab.paths.root / "run" / "libvirtd.pid"
        libvirtd = ["libvirtd", "--config", str(lab.paths.config), "--pid-file", str(pidfile)]
        subprocess.run([*inside, "setsid", "--fork", *libvirtd], check=True)
        until(lambda: lab.paths.socket.exists() and world.virsh.answers(), "libvirtd answers")
        world.hypervisor.reconnect()
        yield virtlogd


def filled(world: World) -> Path:
    image = world.image("logged.qcow2", "32M")
    run(["qemu-io", "-c", "write -P 7 0 32M", image])
    return image


@pytest.mark.parametrize("point", [Point.COPYING, Point.READY, Point.VERIFYING])
def test_virtlogd_is_not_missed(scene: Scene, row: Ended, point: Point) -> None:
    world = scene.world
    with logging_daemon(world) as virtlogd:
        image = filled(world)
        world.guest("logged", disk(image))
        process = world.host.process(world.domain("logged").uuid)
        assert process is not None
        assert "pipe:" in str(Path(f"/proc/{process.pid}/fd/2").readlink()), "it does not log to virtlogd"

        def kill() -> None:
            os.kill(virtlogd.pid, signal.SIGKILL)
            virtlogd.wait()

        once = Once(point, kill)
        outcome = watched(world, once).move(Request(domain="logged", to="lab-b", bandwidth=8 * MiB))
        assert once.happened
        assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
        assert world.where("logged") == {"vda": "lab-b"}
        scene.kept.add(world.path("vda", "logged"))
        world.virsh("destroy", "logged")
        row("virtlogd killed (a guest without fio)", point, outcome, guest="running on the destination")
