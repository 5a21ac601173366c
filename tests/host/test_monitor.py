"""QEMU's own monitor, of a QEMU that has no guest and no libvirt."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host import monitor


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Suspended from the start (-S)."""
    chardev = f"socket,id=charmonitor,path={tmp_path}/monitor.sock,server=on,wait=off"
    argv = ["qemu-system-x86_64", "-M", "none", "-display", "none", "-nodefaults", "-S", "-chardev", chardev]
    process = subprocess.Popen([*argv, "-mon", "chardev=charmonitor,mode=control"])
    try:
        deadline = time.monotonic() + 20
        while not _listens(tmp_path / "monitor.sock"):  # the file is there a moment before that
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(path: Path) -> bool:
    with suppress(OSError), monitor._connected(path):
        return True
    return False


def status(path: Path) -> bool:
    with monitor._connected(path) as found:
        next(found)
        monitor._ask(found, "qmp_capabilities")
        return bool(monitor._ask(found, "query-status")["running"])


def test_a_suspended_guest_goes_on_and_one_that_runs_is_left_alone(
    qemu: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    assert not status(tmp_path / "monitor.sock")
    assert monitor.go_on(qemu.pid)
    assert status(tmp_path / "monitor.sock")
    assert monitor.go_on(qemu.pid)


def test_while_another_client_has_the_monitor_nothing_happens(qemu: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    with monitor._connected(tmp_path / "monitor.sock") as libvirt:
        next(libvirt)
        monitor._ask(libvirt, "qmp_capabilities")
        with pytest.raises(HostError, match="does not answer"):
            monitor.go_on(qemu.pid)
        assert not monitor._ask(libvirt, "query-status")["running"]


def test_an_error_of_qemus_is_told(qemu: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    with monitor._connected(tmp_path / "monitor.sock") as found:
        next(found)
        with pytest.raises(ValueError, match="query-status"):
            monitor._ask(found, "query-status")  # before the capabilities


def test_a_process_without_a_monitor_is_told() -> None:
    with pytest.raises(HostError, match="no monitor"):
        monitor.go_on(os.getpid())
    with pytest.raises(HostError):
        monitor.go_on(2**22)
