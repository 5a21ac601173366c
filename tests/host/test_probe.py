"""How long a write takes: what is written, and that nothing of it is left."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from svmove.host import probe as timed
from svmove.host import timed_write
from svmove.host.local import LocalHost
from svmove.host.probe import Read, Timed, Write


def test_a_write_to_a_disk_takes_less_than_a_second_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 100)
    before = path.stat()
    took = LocalHost().probe(str(path)).took(10.0)
    assert took is not None
    assert 0 < took < 1
    assert list(tmp_path.iterdir()) == [path]
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


def test_what_is_written_is_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image"
    path.touch()
    written: list[tuple[str, int]] = []
    pwrite = os.pwrite

    def watched(file: int, data: bytes, at: int) -> int:
        written.append((str(Path(f"/proc/self/fd/{file}").readlink()), len(data)))
        return pwrite(file, data, at)

    monkeypatch.setattr(os, "pwrite", watched)
    timed_write.seconds(str(path))
    assert [size for _, size in written] == [timed_write.SIZE] * 2
    assert all(name.startswith(f"{tmp_path}/#") and name.endswith("(deleted)") for name, _ in written)


def test_where_no_nameless_file_can_be_made_a_read_and_a_flush_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x" * 4096)
    flushed: list[int] = []
    monkeypatch.setattr(timed_write, "_nameless", lambda _folder: None)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    assert timed_write.seconds(str(path)) > 0
    assert len(flushed) == 1


def test_an_error_is_an_answer(tmp_path: Path) -> None:
    took = LocalHost().probe(str(tmp_path / "none")).took(10.0)
    assert took is not None


def test_one_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "_source", lambda: "import time; time.sleep(60)")
    began = time.monotonic()
    probe = Write("/anything")
    assert probe.took(0.1) is None
    probe.give_up()
    probe.give_up()
    assert time.monotonic() - began < 5


def test_one_that_somebody_kills_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "_source", lambda: "import time; time.sleep(60)")
    probe = Write("/anything")
    os.kill(probe.pid, signal.SIGKILL)
    took = probe.took(10.0)
    assert took is not None
    assert took < 10


def test_one_that_has_ended_is_seen_at_a_glance_and_tells_its_seconds() -> None:
    for argv, least, most in ((["echo", "7.5"], 7.5, 7.5), (["true"], 0.0, 60.0), (["false"], 0.0, 60.0)):
        probe = Timed(argv)
        deadline = time.monotonic() + 30
        while (took := probe.took(0)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert least <= took <= most
        probe.give_up()


@pytest.mark.parametrize(
    ("said", "took"),
    [
        ("4 KiB, 1 ops; 00.00 sec (29.300 MiB/sec and 7500.7491 ops/sec)", 0.0),
        ("4 KiB, 1 ops; 01.25 sec (3 KiB/sec and 0.8 ops/sec)", 1.25),
        ("4 KiB, 1 ops; 1:02:03.50 sec (0 bytes/sec and 0.0003 ops/sec)", 3723.5),
        ("read failed: Input/output error", 0.0),
    ],
)
def test_a_read_takes_what_qemu_io_says_without_its_connection(said: str, took: float) -> None:
    assert Read(["echo", f"read 4096/4096 bytes at offset 0\n{said}"]).took(10.0) == took


def test_an_image_on_the_network_answers_by_being_read(tmp_path: Path) -> None:
    """Not by qemu-io's refusal to open it."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        path = f"nbd+unix:///disk?socket={tmp_path}/s"
        assert not LocalHost().answers(path, 0.5)
        assert LocalHost().trouble(path, 0.5) == "no answer in 0.5 s"
        probe = LocalHost().probe(path)
        assert probe.took(0.5) is None
        probe.give_up()
    assert LocalHost().answers(path, 10.0)  # an error is an answer
    assert "refused" in (LocalHost().trouble(path, 10.0) or "")
