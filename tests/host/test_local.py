"""The host that svmove runs on: whose file is open where, identities, scratch."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host.command import run
from svmove.host.local import LocalHost
from svmove.model import CopyWay, Process
from svmove.units import MiB

ME = Process(pid=os.getpid(), uid=os.geteuid(), gid=os.getegid())


def test_a_process_is_found_by_what_it_holds_open(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    host = LocalHost()
    assert host.holders(str(path)) == ()
    assert not host.holds(ME, str(path))
    with path.open("rb"):
        assert host.holders(str(path)) == (os.getpid(),)
        assert host.holds(ME, str(path))
    assert host.holders(str(path)) == ()


def test_a_file_is_known_by_its_identity_and_not_by_its_name(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.touch()
    os.link(path, other)
    host = LocalHost()
    with path.open("rb"):
        assert host.holds(ME, str(other))
        path.unlink()
        path.touch()  # another file of the same name
        assert not host.holds(ME, str(path))
        assert host.holders(str(path)) == ()
        assert host.holds(ME, str(other))


def test_a_file_that_is_gone_is_held_by_nobody(tmp_path: Path) -> None:
    host = LocalHost()
    assert not host.holds(ME, str(tmp_path / "none"))
    assert host.holders(str(tmp_path / "none")) == ()


def test_a_process_that_is_gone_can_not_be_looked_into(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "a").touch()
    with pytest.raises(HostError) as caught:
        LocalHost().holds(Process(pid=ended.pid, uid=0, gid=0), str(tmp_path / "a"))
    assert caught.value.remedy is not None


def test_an_identity_is_of_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.touch()
    other.touch()
    host = LocalHost()
    before = host.identity(str(path))
    assert before is not None
    assert before == host.identity(str(path))
    assert before != host.identity(str(other))
    other.rename(path)
    assert before != host.identity(str(path))
    assert host.identity(str(tmp_path / "none")) is None


@pytest.mark.parametrize("ask", ["identity", "holders", "allocated"])
def test_a_path_through_a_file_is_a_host_error(tmp_path: Path, ask: str) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(HostError, match="Not a directory"):
        getattr(LocalHost(), ask)(str(tmp_path / "a" / "b"))


def test_allocated_counts_no_holes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(64 * MiB)
        file.write(b"x" * MiB)
        os.fsync(file.fileno())
    assert MiB <= LocalHost().allocated(str(path)) < 2 * MiB


def test_free_space_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    found = LocalHost().free(str(tmp_path / "not" / "yet"))
    assert found == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.05)


def test_root_and_the_owner_may_look_into_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(pid=1, uid=107, gid=107)
    allowed = {}
    for user in (0, 107, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        allowed[user] = LocalHost().can_see(process)
    assert allowed == {0: True, 107: True, 1000: False}


def test_a_qemu_is_found_by_the_uuid_in_its_command_line(tmp_path: Path) -> None:
    """A process that only mentions the UUID is none."""
    uuid = "6f2c8d1e-1111-4222-8333-444455556666"
    fake = tmp_path / "qemu-system-x86_64"
    shutil.copy(os.path.realpath("/bin/sh"), fake)
    mention = subprocess.Popen([sys.executable, "-c", "input()", "-uuid", uuid], stdin=subprocess.PIPE)
    qemu = None
    host = LocalHost()
    try:
        assert host.process(uuid) is None
        qemu = subprocess.Popen([fake, "-c", "read line", "-uuid", uuid], stdin=subprocess.PIPE)
        expected = Process(pid=qemu.pid, uid=os.geteuid(), gid=os.getegid())
        assert [host.process(uuid), host.process(uuid)] == [expected, expected]
        assert host.process(uuid[:-1]) is None
        qemu.communicate(b"\n", timeout=30)
        assert host.process(uuid) is None
    finally:
        for process in (mention, qemu):
            if process is not None:
                process.kill()
                process.communicate(timeout=30)


# Scratch


def test_scratch_is_made_with_its_files_and_removed_again(tmp_path: Path) -> None:
    host, folder = LocalHost(), tmp_path / "scratch" / "move"
    files = {f"{folder}/vda.qcow2": 4 * MiB, f"{folder}/vdb.qcow2": 8 * MiB}
    host.make_scratch(str(folder), files, ME)
    assert {str(path) for path in folder.iterdir()} == set(files)
    assert host.image(f"{folder}/vdb.qcow2", "qcow2").virtual_bytes == 8 * MiB
    assert folder.stat().st_mode & 0o777 == 0o700
    host.remove_scratch(str(folder))
    assert not folder.exists()


def test_scratch_can_be_made_and_removed_twice(tmp_path: Path) -> None:
    host, folder = LocalHost(), tmp_path / "scratch" / "move"
    for _ in range(2):
        host.make_scratch(str(folder), {f"{folder}/vda.qcow2": MiB}, ME)
    for _ in range(2):
        host.remove_scratch(str(folder))
    assert not folder.exists()


def test_the_socket_goes_with_the_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, folder = LocalHost(), tmp_path / "m"
    host.make_scratch(str(folder), {}, ME)
    monkeypatch.chdir(folder)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("nbd.sock")
    host.remove_scratch(str(folder))
    assert not folder.exists()


def test_what_svmove_did_not_make_is_not_removed(tmp_path: Path) -> None:
    host, folder = LocalHost(), tmp_path / "scratch"
    host.make_scratch(str(folder), {f"{folder}/vda.qcow2": MiB}, ME)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HostError, match="not empty"):
        host.remove_scratch(str(folder))
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_scratch_that_can_not_be_made_is_a_host_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError):
        LocalHost().make_scratch(str(tmp_path / "file" / "move"), {}, ME)


def test_a_file_is_given_room_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"data")
    assert LocalHost().allocate(str(path), 4 * MiB)
    assert (path.read_bytes(), path.stat().st_size) == (b"data", 4)
    assert LocalHost().allocated(str(path)) >= 4 * MiB


def test_more_room_than_there_is_can_not_be_given(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    with pytest.raises(HostError):
        LocalHost().allocate(str(path), 1 << 50)


def test_where_a_file_system_can_not_allocate_ahead_that_is_told(tmp_path: Path) -> None:
    """/proc is one."""
    assert not LocalHost().allocate(f"/proc/{os.getpid()}/comm", 4096)


def test_two_folders_of_a_file_system_are_on_the_same_one(tmp_path: Path) -> None:
    host = LocalHost()
    (tmp_path / "a").mkdir()
    assert host.filesystem(str(tmp_path)) == host.filesystem(str(tmp_path / "a"))
    assert host.filesystem(str(tmp_path)) != host.filesystem("/proc")
    assert host.filesystem(str(tmp_path / "none")) is None


def test_how_a_file_could_be_copied_is_tried_and_leaves_nothing_behind(tmp_path: Path) -> None:
    source, folder = tmp_path / "a", tmp_path / "to"
    source.write_bytes(b"x" * 8192)
    folder.mkdir()
    host = LocalHost()
    assert host.offload(str(source), str(folder)) in (CopyWay.REFLINK, CopyWay.COPY_RANGE)
    assert host.offload(str(source), "/dev/shm") is CopyWay.CONVERT
    assert (list(folder.iterdir()), source.stat().st_size) == ([], 8192)
    for missing in ((str(source), str(tmp_path / "none")), (str(tmp_path / "none"), str(folder))):
        with pytest.raises(HostError):
            host.offload(*missing)


def test_the_bitmaps_in_an_image_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"])
    assert LocalHost().image(str(path), "qcow2").bitmaps == ()
    run(["qemu-img", "bitmap", "--add", "-f", "qcow2", str(path), "mine"])
    assert LocalHost().image(str(path), "qcow2").bitmaps == ("mine",)
