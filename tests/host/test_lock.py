"""The lock, against QEMU itself: who writes can't open the image, who reads can."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host import command
from svmove.host.local import LocalHost

HOST = LocalHost()


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = str(tmp_path / "a, b.qcow2")
    command.create_qcow2(path, 1 << 20)
    return path


@contextmanager
def writer(path: str) -> Iterator[None]:
    """qemu-io, which has the image open for writing until it is told to end."""
    process = subprocess.Popen(["qemu-io", path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while process.pid not in HOST.holders(path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)  # it locks after it opened
        yield
    finally:
        process.communicate()


def test_while_it_is_held_qemu_can_read_and_not_write(image: str) -> None:
    with HOST.locked(image):
        with pytest.raises(HostError, match="another process"):
            command.run(["qemu-io", "-c", "write 0 512", image])
        assert command.image_info(image, "qcow2")["virtual-size"] == 1 << 20
        command.run(["qemu-io", "-r", "-c", "read 0 512", image])
        command.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", image, image])
    command.run(["qemu-io", "-c", "write 0 512", image])


def test_what_somebody_writes_to_can_t_be_locked(image: str) -> None:
    with writer(image), pytest.raises(HostError, match="open for writing"), HOST.locked(image):
        pass
    with HOST.locked(image):
        pass


def test_it_does_not_outlive_its_process_and_its_children_do_not_have_it(image: str) -> None:
    code = (
        "import os, subprocess, sys; from svmove.host.lock import locked\n"
        "with locked(sys.argv[1]):\n"
        "    subprocess.Popen(['sleep', '20'], stdout=-3, stderr=-3)\n"
        "    print('locked', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, image], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "locked\n")
    command.run(["qemu-io", "-c", "write 0 512", image])


def test_what_is_not_there_can_t_be_locked(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"), HOST.locked(str(tmp_path / "none")):
        pass


def test_a_stamp_differs_after_a_write_and_not_after_a_change_of_owner(image: str) -> None:
    before = HOST.stamp(image)
    Path(image).chmod(0o600)
    assert HOST.stamp(image) == before
    time.sleep(0.02)  # the file system's clock ticks every 4 to 10 ms
    command.run(["qemu-io", "-c", "write -P 7 0 512", image])
    assert HOST.stamp(image) != before
    assert HOST.stamp(image + ".none") is None


def test_a_chain_is_read_from_the_images(tmp_path: Path) -> None:
    base, middle, top = (tmp_path / name for name in ("base.img", "middle.qcow2", "top.qcow2"))
    command.run(["qemu-img", "create", "-q", "-f", "raw", str(base), "1M"])
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", str(middle)])
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(middle), "-F", "qcow2", str(top)])
    assert HOST.chain(str(top), "qcow2") == ((str(middle), "qcow2"), (str(base), "raw"))
    assert HOST.chain(str(base), "raw") == ()
    with pytest.raises(HostError):
        HOST.chain(str(tmp_path / "none"), "raw")
