"""Files copied out of process, for real: on this file system, on XFS and btrfs, and by qemu-img."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host import command, copying, progress
from svmove.host.local import LocalHost
from svmove.model import CopyWay
from svmove.units import KiB, MiB
from tests.host.copies import NAMES, Told, blank, copied, equal, filled, mounted, sparse


@pytest.mark.parametrize("size", [8 * MiB, 8 * MiB + 1, 3 * MiB - 511, 3])
def test_a_copy_is_equal_whatever_its_size_and_its_holes_stay(tmp_path: Path, size: int) -> None:
    source = sparse(tmp_path / "source", size) if size > 2 * MiB else tmp_path / "source"
    if size <= 2 * MiB:
        source.write_bytes(b"abc")
    destination, told = blank(tmp_path / "destination", size=1 * MiB), Told()
    copied(source, destination, saved=told)
    assert destination.read_bytes() == source.read_bytes()
    assert destination.stat().st_blocks * 512 <= 512 * KiB
    assert (told.offsets[-1], told.ends) == (size, {size})


def test_a_copy_that_goes_on_has_what_was_saved_and_nothing_stale_behind_it(tmp_path: Path) -> None:
    source, destination = sparse(tmp_path / "source"), tmp_path / "destination"
    begin = 1 * MiB + 4096
    saved = source.read_bytes()[:begin]
    destination.write_bytes(saved + b"stale" * MiB)
    copied(source, destination, begin=begin)
    assert destination.read_bytes() == source.read_bytes()


def test_a_conversion_into_a_file_that_ends_within_a_block_of_its_disk_is_equal(tmp_path: Path) -> None:
    size = 4 * MiB + 512
    with mounted("ext4", tmp_path, sector=4096) as folder:
        source = blank(folder / "source", "qcow2", size)
        command.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", "-c", "write -P 8 4M 512", str(source)])
        destination = blank(folder / "destination", size=size)
        assert copied(source, destination, ("qcow2", "raw")) is CopyWay.CONVERT
        assert destination.stat().st_size == size
        assert equal(source, destination, ("qcow2", "raw"))


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_conversion_that_goes_on_has_nothing_stale_behind_it(tmp_path: Path, format_: str) -> None:
    formats = ("qcow2", "raw") if format_ == "raw" else ("raw", "qcow2")
    source = filled(tmp_path / "source", formats[0])
    destination = blank(tmp_path / "destination", format_)
    command.run(["qemu-io", "-f", format_, "-c", "write -P 1 0 64k", "-c", "write -P 9 4M 1M", str(destination)])
    assert copied(source, destination, formats, begin=1 * MiB) is CopyWay.CONVERT
    assert equal(source, destination, formats)


@pytest.mark.parametrize("formats", [("raw", "qcow2"), ("qcow2", "raw"), ("qcow2", "qcow2"), ("raw", "raw")])
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_in_another_format_is_equal_for_the_guest(tmp_path: Path, name: str, formats: tuple[str, str]) -> None:
    source = filled(tmp_path / f"{name}.source", formats[0])
    destination, told = blank(tmp_path / f"{name}.destination", formats[1]), Told()
    way = copied(source, destination, formats, saved=told)
    assert (way is CopyWay.CONVERT) == (formats[0] != formats[1])
    assert equal(source, destination, formats)
    assert told.offsets == sorted(told.offsets)
    assert told.offsets[-1] in told.ends


def test_a_copy_stops_when_it_is_told_to_and_says_how_far_it_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)  # told after each chunk
    source = tmp_path / "source"
    source.write_bytes(os.urandom(12 * MiB))
    destination, told = blank(tmp_path / "destination", size=12 * MiB), Told(stop=2)
    with pytest.raises(HostError, match="stopped"):
        copied(source, destination, saved=told)
    safe = told.offsets[-1]
    assert 0 < safe < 12 * MiB
    assert destination.read_bytes()[:safe] == source.read_bytes()[:safe]


def test_a_conversion_stops_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)  # told after each slice
    source, destination = tmp_path / "source", blank(tmp_path / "d", "qcow2", 64 * MiB)
    source.write_bytes(os.urandom(MiB) * 64)  # holes take no slice
    told = Told(stop=1)
    with pytest.raises(HostError, match="stopped"):
        copied(source, destination, ("raw", "qcow2"), saved=told)
    assert told.offsets == [16 * MiB]


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.time = 0.0
        self.longest = 0.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.longest = max(self.longest, seconds)


@pytest.mark.parametrize("rate", [1 * MiB, 64 * MiB])
def test_a_copy_keeps_to_its_rate_however_low_and_is_never_deaf_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(copying, "time", clock)
    monkeypatch.setattr(progress, "time", clock)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(16 * MiB))
    copied(source, blank(tmp_path / "destination", size=16 * MiB), bandwidth=lambda: rate)
    # A tenth of a half second's worth may be owed still.
    assert 16 * MiB / rate - 0.05 <= clock.time <= 16 * MiB / rate + 0.01
    assert clock.longest <= 0.5


def test_a_conversion_keeps_to_its_rate_however_low(tmp_path: Path) -> None:
    source, destination = tmp_path / "source", blank(tmp_path / "destination", "qcow2", 64 * MiB)
    source.write_bytes(os.urandom(3 * MiB))
    os.truncate(source, 64 * MiB)
    began = time.monotonic()
    copied(source, destination, ("raw", "qcow2"), bandwidth=lambda: 2 * MiB)
    # Of the 64 MiB, 61 are a hole.
    assert 1.4 <= time.monotonic() - began < 6.0
    assert equal(source, destination, ("raw", "qcow2"))


def test_a_destination_that_runs_full_is_told_as_such(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path) as folder:
        source = tmp_path / "source"
        source.write_bytes(b"x" * (8 * MiB))
        destination = blank(folder / "destination")
        filling = folder / "filling"
        with filling.open("wb") as file:
            found = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - 4 * MiB)
        with pytest.raises(HostError, match="No space left"):
            copied(source, destination)


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_one_file_system_shares_the_extents_and_proves_the_copy_without_reading_it(tmp_path: Path, kind: str) -> None:
    host = LocalHost()
    with mounted(kind, tmp_path) as folder:
        source = sparse(folder / "source", 32 * MiB)
        clone, plain = blank(folder / "clone", size=1 * MiB), folder / "plain"
        assert copied(source, clone) is CopyWay.REFLINK
        assert host.shares_all(str(source), str(clone))
        assert clone.read_bytes() == source.read_bytes()
        assert host.shared(str(source)) == host.shared(str(clone)) > 200_000
        assert host.takes_direct(str(folder)) is True

        plain.write_bytes(source.read_bytes())
        assert not host.shares_all(str(source), str(plain))
        assert host.shared(str(plain)) == 0
        with clone.open("r+b") as file:
            file.seek(1 * MiB)
            file.write(b"\0")
        assert not host.shares_all(str(source), str(clone))


def test_what_is_to_share_or_not_to_be_made_shares_or_is_left_empty(tmp_path: Path) -> None:
    with mounted("xfs", tmp_path) as folder:
        source = sparse(folder / "source", 32 * MiB)
        assert copied(source, blank(folder / "clone", size=1 * MiB), share=True) is CopyWay.REFLINK
        elsewhere = blank(tmp_path / "elsewhere")
        with pytest.raises(HostError, match="can't share"):
            copied(source, elsewhere, share=True)
        with pytest.raises(HostError, match="can't share"):  # gone on with by another way
            copied(source, folder / "clone", begin=1 * MiB, share=True)
        with pytest.raises(HostError, match="can't share"):
            copied(source, blank(folder / "other", "qcow2"), ("raw", "qcow2"), share=True)
        assert LocalHost().allocated(str(elsewhere)) == 0


def test_a_file_without_holes_has_its_room_also_where_hardly_any_is_left(tmp_path: Path) -> None:
    """XFS itself wants as much free as the range is long."""
    host = LocalHost()
    with mounted("xfs", tmp_path) as folder:
        dense, holes = folder / "dense", sparse(folder / "holes", 64 * MiB)
        dense.write_bytes(b"x" * 64 * MiB)
        os.sync()
        found = os.statvfs(folder)
        with (folder / "filling").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - 16 * MiB)
        with pytest.raises(HostError, match="No space left"):
            command.run(["fallocate", "-n", "-l", str(64 * MiB), str(dense)])
        assert host.allocate(str(dense), 64 * MiB)
        with pytest.raises(HostError, match="No space left"):
            host.allocate(str(holes), 64 * MiB)


def test_two_file_systems_that_were_made_alike_prove_nothing(tmp_path: Path) -> None:
    """The same offsets of two disks: with what else the maps say they can't be told apart."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with mounted("xfs", tmp_path / "a") as one, mounted("xfs", tmp_path / "b") as other:
        for folder, byte in ((one, b"1"), (other, b"2")):
            (folder / "file").write_bytes(byte * MiB)
            copied(folder / "file", blank(folder / "clone", size=1 * MiB))
        assert not LocalHost().shares_all(str(one / "file"), str(other / "file"))


def test_another_file_system_can_not_share(tmp_path: Path) -> None:
    source, destination = sparse(tmp_path / "source"), blank(tmp_path / "destination")
    with mounted("ext4", tmp_path) as folder:
        there = blank(folder / "destination")
        assert copied(source, there) is CopyWay.CONVERT
        assert not LocalHost().shares_all(str(source), str(there))
        assert there.read_bytes() == source.read_bytes()
    assert destination.exists()


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, Path]:
    """A base with data, and an overlay that has written data and zeros over some of it."""
    base, over = filled(tmp_path / "base", "qcow2"), tmp_path / 'over, "x"'
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(over)])
    command.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 64k", "-c", "write -z 3M 64k", str(over)])
    return base, over


def test_an_image_s_own_extents_are_what_it_has_itself_zeros_as_well(chain: tuple[Path, Path]) -> None:
    base, over = chain
    assert LocalHost().extents(str(over), "qcow2") == ((1 * MiB, 64 * KiB), (3 * MiB, 64 * KiB))
    base.unlink()
    assert LocalHost().extents(str(over), "qcow2") == ((1 * MiB, 64 * KiB), (3 * MiB, 64 * KiB))


def test_an_overlay_without_a_write_has_no_extents(tmp_path: Path, chain: tuple[Path, Path]) -> None:
    fresh = tmp_path / "fresh"
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(chain[1]), "-F", "qcow2", str(fresh)])
    assert LocalHost().extents(str(fresh), "qcow2") == ()


def compared(one: Path, other: Path, *, layer: bool) -> int | None:
    return LocalHost().compare_local(
        str(one), "qcow2", str(other), "qcow2", 0, 8 * MiB, lambda _size: True, layer=layer
    )


def test_two_images_are_compared_by_themselves_or_with_what_lies_below_them(
    tmp_path: Path, chain: tuple[Path, Path]
) -> None:
    _, over = chain
    flat = tmp_path / "flat"
    command.run(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", str(over), str(flat)])
    assert compared(over, flat, layer=False) is None
    assert compared(over, flat, layer=True) == 0


def test_a_copy_of_an_overlay_is_rebased_and_has_the_same_for_the_guest(
    tmp_path: Path, chain: tuple[Path, Path]
) -> None:
    base, over = chain
    below, copy = tmp_path / "new base", tmp_path / "new over"
    for source, destination in ((base, below), (over, copy)):
        copied(source, blank(destination, "qcow2"), ("qcow2", "qcow2"))
    LocalHost().rebase(str(copy), "qcow2", str(below), "qcow2")
    assert command.image_info(str(copy), "qcow2")["backing-filename"] == str(below)
    assert compared(over, copy, layer=True) is None
    base.unlink()
    assert subprocess.run(["qemu-img", "check", "-q", str(copy)], check=False).returncode == 0


def test_an_overlay_is_committed_into_the_file_below_again_and_again(chain: tuple[Path, Path]) -> None:
    base, over = chain
    before = compared(over, base, layer=False)
    for _ in range(2):
        LocalHost().commit_overlay(str(over), "qcow2")
        assert (before, compared(over, base, layer=False)) == (1 * MiB, None)


def test_an_overlay_that_a_guest_has_open_is_not_committed(chain: tuple[Path, Path]) -> None:
    base, over = chain
    holder = subprocess.Popen(["qemu-io", "-f", "qcow2", str(over)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.read(1)  # its prompt: the file is open
        with pytest.raises(HostError, match="Is another process using"):
            LocalHost().commit_overlay(str(over), "qcow2")
    finally:
        holder.communicate(b"quit\n")
    assert compared(base, over, layer=False) == 1 * MiB


def test_a_copy_into_another_format_keeps_to_its_rate_too(tmp_path: Path) -> None:
    """qemu-img's own limit lets the first 2 MiB of each slice through at once."""
    rate = 4 * MiB
    source, destination = tmp_path / "source", blank(tmp_path / "one", "qcow2")
    source.write_bytes(b"x" * (8 * MiB))
    began = time.monotonic()
    copied(source, destination, ("raw", "qcow2"), bandwidth=lambda: rate)
    assert 0.9 <= (time.monotonic() - began) * rate / (8 * MiB) < 2.0
    assert equal(source, destination, ("raw", "qcow2"))


# A chain that becomes one file


def chained(folder: Path, size: int = 64 * MiB) -> Path:
    """A raw template of half the size, and two files over it: data in each, and zeros that hide what lies below."""
    base = filled(folder / "base,=.raw", "raw", size // 2)
    middle = blank(folder / "middle.qcow2", "qcow2", size, "-b", str(base), "-F", "raw")
    top = blank(folder / "top, 1.qcow2", "qcow2", size, "-b", str(middle), "-F", "qcow2")
    for path, what in ((middle, f"write -P 4 {size - MiB} 64k"), (top, "write -P 5 40M 1M"), (top, "write -z 3M 64k")):
        command.run(["qemu-io", "-f", "qcow2", "-c", what, str(path)])
    return top


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_chain_is_copied_as_the_guest_sees_it_and_its_holes_stay(tmp_path: Path, format_: str) -> None:
    source, told = chained(tmp_path), Told()
    destination = blank(tmp_path / "one file", format_, 64 * MiB)
    assert copied(source, destination, ("qcow2", format_), saved=told, flatten=True) is CopyWay.CONVERT
    assert equal(source, destination, ("qcow2", format_))
    assert (told.ends, told.offsets[-1]) == ({64 * MiB}, 64 * MiB)
    assert LocalHost().chain(str(destination), format_) == ()
    assert LocalHost().allocated(str(destination)) < 2 * MiB
    for at in (0, 32 * MiB):
        found = LocalHost().compare_local(
            str(source), "qcow2", str(destination), format_, at, 32 * MiB, lambda _size: True, layer=False
        )
        assert found is None


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_chain_that_was_cut_off_is_gone_on_with_and_what_lies_behind_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)  # told after each slice
    source, told = chained(tmp_path), Told(2)
    destination = blank(tmp_path / "one", format_, 64 * MiB)
    with pytest.raises(HostError, match="stopped"):
        copied(source, destination, ("qcow2", format_), bandwidth=lambda: 512 * KiB, saved=told, flatten=True)
    begin = told.offsets[-1]
    assert 0 < begin < 50 * MiB
    command.run(["qemu-io", "-f", format_, "-c", "write -P 9 50M 1M", str(destination)])  # a hole of the source
    copied(source, destination, ("qcow2", format_), begin=begin, flatten=True)
    assert equal(source, destination, ("qcow2", format_))


def test_a_chain_whose_base_is_gone_is_an_error(tmp_path: Path) -> None:
    source = chained(tmp_path)
    (tmp_path / "base,=.raw").unlink()
    with pytest.raises(HostError):
        copied(source, blank(tmp_path / "one", "raw", 64 * MiB), ("qcow2", "raw"), flatten=True)
