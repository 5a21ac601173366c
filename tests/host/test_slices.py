"""A file copied to another file system by qemu-img, for real: whatever its size, its holes and its storage."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmove.errors import HostError
from svmove.host import command, copying, direct
from svmove.host.local import LocalHost
from svmove.model import CopyWay
from svmove.units import GiB, KiB, MiB
from tests.host.copies import NAMES, Told, blank, copied, mounted, sparse


@pytest.fixture(scope="module", params=["ext4", "ext4 of small blocks", "ext4 of large sectors", "tmpfs", "ramfs"])
def elsewhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("elsewhere")
    if request.param.startswith("ext4"):
        large = request.param == "ext4 of large sectors"
        with mounted("ext4" if large else request.param, folder, sector=4096 if large else 512) as where:
            yield where
        return
    command.run(["mount", "-n", "-t", request.param, "none", str(folder)])
    try:
        yield folder
    finally:
        command.run(["umount", "-n", str(folder)])


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on another file system that costs nothing to make."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("size", [8 * MiB, 8 * MiB + 1, 3 * MiB - 511, 2 * MiB + 512, 3])
@pytest.mark.parametrize("back", [False, True])
def test_a_copy_is_equal_on_every_storage_whatever_its_size(
    tmp_path: Path, elsewhere: Path, size: int, back: bool
) -> None:
    folders = (elsewhere, tmp_path) if back else (tmp_path, elsewhere)
    source, destination = (folder / f"{size}.{back}" for folder in folders)
    if size > 2 * MiB:
        sparse(source, size)
    else:
        source.write_bytes(b"abc")
    blank(destination, size=16 * MiB)
    told = Told()
    assert copied(source, destination, saved=told) is CopyWay.CONVERT
    assert destination.read_bytes() == source.read_bytes()
    assert (told.offsets[-1], told.ends) == (size, {size})


def test_there_is_storage_among_them_that_takes_no_direct_io(tmp_path: Path) -> None:
    command.run(["mount", "-n", "-t", "ramfs", "none", str(tmp_path)])
    try:
        assert not direct.takes(str(blank(tmp_path / "file")))
        assert LocalHost().takes_direct(str(tmp_path)) is False
    finally:
        command.run(["umount", "-n", str(tmp_path)])


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_equal_and_as_sparse_whatever_its_name(tmp_path: Path, memory: Path, name: str) -> None:
    source, destination = sparse(tmp_path / name), blank(memory / name)
    assert copied(source, destination) is CopyWay.CONVERT
    assert destination.read_bytes() == source.read_bytes()
    assert destination.stat().st_blocks <= source.stat().st_blocks


def test_an_old_kernel_is_not_asked_to_copy_between_two_file_systems(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def refuse(*args: int) -> int:
        asked.append(args)
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    for linux, expected in (((5, 15), 0), ((6, 1), 1)):
        monkeypatch.setattr(copying, "_LINUX", linux)
        assert copied(sparse(tmp_path / "source"), blank(memory / "destination")) is CopyWay.CONVERT
        assert len(asked) == expected


_EXTENTS = st.lists(st.tuples(st.integers(0, 1023), st.integers(1, 40)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(extents=_EXTENTS, size=st.integers(1, 4 * MiB), begin=st.integers(0, 4 * MiB))
def test_a_copy_that_goes_on_anywhere_is_equal_and_has_nothing_stale(
    extents: list[tuple[int, int]], size: int, begin: int
) -> None:
    begin = min(begin, size)
    with TemporaryDirectory() as here, TemporaryDirectory(dir="/dev/shm") as there:
        source, destination = Path(here) / "source", Path(there) / "destination"
        with source.open("wb") as file:
            for block, blocks in extents:
                file.seek(block * 4 * KiB)
                file.write(os.urandom(blocks * 4 * KiB))
        os.truncate(source, size)
        destination.write_bytes(source.read_bytes()[:begin] + b"stale" * MiB)
        copied(source, destination, begin=begin)
        assert destination.read_bytes() == source.read_bytes()


def test_holes_cost_no_time_however_many_and_large_they_are(tmp_path: Path, memory: Path) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    with source.open("wb") as file:
        for block in range(2000):
            file.seek(block * 8 * KiB)
            file.write(os.urandom(4 * KiB))
        file.truncate(512 * GiB)
    began = time.monotonic()
    # A second's worth of data at that rate: of the file, 40 hours' worth.
    assert copied(source, destination, bandwidth=lambda: 8 * MiB) is CopyWay.CONVERT
    assert time.monotonic() - began < 10.0
    assert destination.stat().st_size == 512 * GiB
    assert destination.stat().st_blocks <= source.stat().st_blocks
    subprocess.run(["cmp", f"--bytes={16 * MiB}", str(source), str(destination)], check=True)


@pytest.mark.parametrize(("size", "rate"), [(256 * KiB, 128 * KiB), (3 * MiB, 2 * MiB), (96 * MiB, 64 * MiB)])
def test_a_copy_keeps_to_its_rate_however_low(tmp_path: Path, memory: Path, size: int, rate: int) -> None:
    source, destination, told = tmp_path / "source", blank(memory / "destination"), Told()
    source.write_bytes(os.urandom(size))
    began = time.monotonic()
    copied(source, destination, bandwidth=lambda: rate, saved=told)
    assert size / rate - 0.1 <= time.monotonic() - began < 4 * size / rate
    assert len(told.offsets) >= 3  # twice a second


def test_a_copy_stops_within_a_second_in_the_midst_of_a_slice_and_what_it_told_is_there(
    tmp_path: Path, memory: Path
) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    source.write_bytes(os.urandom(48 * MiB))
    rates = iter([None] * 4)  # the first slice at full speed, and the next at a rate that it would need a minute for
    told, asked = Told(), []

    def saved(offset: int, end: int) -> bool:
        asked.append(time.monotonic())
        return told(offset, end) and len(asked) < 2

    with pytest.raises(HostError, match="stopped"):
        copied(source, destination, bandwidth=lambda: next(rates, 512 * KiB), saved=saved)
    assert time.monotonic() - asked[-1] < 0.5
    assert asked[1] - asked[0] < 1.5
    safe = told.offsets[-1]
    assert 0 < safe < 48 * MiB
    assert destination.read_bytes()[:safe] == source.read_bytes()[:safe]
    assert LocalHost().holders(str(destination)) == ()


_SLOWLY = """
import sys
from svmove.host.local import LocalHost
rates = iter([None] + [1 << 20] * 99)
LocalHost().copy_image(*sys.argv[1:], length=None, begin=0, bandwidth=rates.__next__, saved=lambda *_: True)
"""


@contextmanager
def copying_elsewhere(source: Path, destination: Path, script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that copies, as soon as qemu-img does it; with that, the terminal's process group."""
    argv = [sys.executable, "-c", script, str(source), "raw", str(destination), "raw"]
    process, deadline = subprocess.Popen(argv, stdout=subprocess.DEVNULL, process_group=0), time.monotonic() + 20
    try:
        while set(LocalHost().holders(str(destination))) <= {process.pid}:
            assert time.monotonic() < deadline, "nobody copies"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


def test_nobody_goes_on_writing_when_it_is_killed(tmp_path: Path, memory: Path) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    source.write_bytes(os.urandom(16 * MiB))
    with copying_elsewhere(source, destination, _SLOWLY):
        pass
    deadline = time.monotonic() + 5  # of the 16 s that it would go on
    while LocalHost().holders(str(destination)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert LocalHost().holders(str(destination)) == ()


def test_a_ctrl_c_is_for_svmove_alone(tmp_path: Path, memory: Path) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    source.write_bytes(os.urandom(16 * MiB))
    script = "import signal; signal.signal(signal.SIGINT, lambda *_: None)" + _SLOWLY.replace("1 << 20", "8 << 20")
    with copying_elsewhere(source, destination, script) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    assert destination.read_bytes() == source.read_bytes()


def test_one_that_a_ctrl_c_reached_before_it_had_its_own_process_group_is_started_again(
    tmp_path: Path, memory: Path
) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    source.write_bytes(os.urandom(16 * MiB))
    with copying_elsewhere(source, destination, _SLOWLY.replace("1 << 20", "8 << 20")) as process:
        (started,) = set(LocalHost().holders(str(destination))) - {process.pid}
        os.kill(started, signal.SIGINT)
        assert process.wait(60) == 0
    assert destination.read_bytes() == source.read_bytes()


def test_a_source_that_becomes_shorter_is_no_copy(tmp_path: Path, memory: Path) -> None:
    source, destination = tmp_path / "source", blank(memory / "destination")
    source.write_bytes(os.urandom(20 * MiB))

    def shorten() -> None:
        os.truncate(source, 12 * MiB)

    with pytest.raises(HostError, match="shorter"):
        copied(source, destination, bandwidth=shorten)


def test_a_destination_without_room_is_told_as_such(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "there"
    source.write_bytes(os.urandom(8 * MiB))
    folder.mkdir()
    command.run(["mount", "-n", "-t", "tmpfs", "-o", "size=4M", "none", str(folder)])
    try:
        with pytest.raises(HostError, match="destination: No space left on device"):
            copied(source, blank(folder / "destination", size=1 * MiB))
    finally:
        command.run(["umount", "-n", str(folder)])
