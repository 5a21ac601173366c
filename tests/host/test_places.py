"""Copies from and to what is no file, and with keys, for real: an NBD server, a block device, LUKS."""

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svmove.errors import HostError
from svmove.host import command, files, progress
from svmove.host.encrypted import driver
from svmove.host.local import LocalHost
from svmove.location import Secret
from svmove.model import CopyWay
from svmove.units import KiB, MiB
from tests.host.copies import Told, blank, sparse
from tests.real.world import until

SIZE = 32 * MiB
OLD = b"\xaa"
ONE, TWO, WRONG = Secret(usage="one"), Secret(usage="two"), Secret(usage="wrong")
VALUES = {ONE: b"correct horse", TWO: b"another", WRONG: b"wrong horse"}


def host(**keys: Secret | None) -> LocalHost:
    opened = LocalHost(VALUES.__getitem__)
    for path, key in keys.items():
        opened.unlock(path, key)
    return opened


def copy(
    by: LocalHost,
    source: str,
    destination: str,
    formats: tuple[str, str] = ("raw", "raw"),
    *,
    begin: int = 0,
    bandwidth: Callable[[], int | None] = lambda: None,
    saved: Callable[[int, int], bool] | None = None,
    blank: bool = True,
    length: int = SIZE,
) -> CopyWay:
    return by.copy_image(
        source,
        formats[0],
        destination,
        formats[1],
        length=length,
        begin=begin,
        bandwidth=bandwidth,
        saved=saved or Told(),
        blank=blank,
    )


def differs(by: LocalHost, source: str, destination: str, formats: tuple[str, str] = ("raw", "raw")) -> int | None:
    return by.compare_local(source, formats[0], destination, formats[1], 0, SIZE, lambda _size: True, layer=False)


@contextmanager
def served(folder: Path, *words: str) -> Iterator[str]:
    """The URI of an export by nbdkit."""
    socket = folder / f"nbd-{len(list(folder.iterdir()))}.sock"
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "nbdkit", "-f", "-U", str(socket), *words])
    try:
        until(socket.exists, "nbdkit is ready")
        yield f"nbd+unix:///?socket={socket}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def export(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An export, 4 MiB larger than the disk and full of something old, and the file behind it."""
    behind = tmp_path / "behind"
    behind.write_bytes(OLD * (SIZE + 4 * MiB))
    with served(tmp_path, "file", str(behind)) as uri:
        yield uri, behind


@pytest.fixture
def device(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    behind = tmp_path / "disk"
    behind.write_bytes(OLD * (SIZE + 4 * MiB))
    device = command.run(["losetup", "--find", "--show", str(behind)]).strip()
    try:
        yield device, behind
    finally:
        command.run(["losetup", "--detach", device])


@pytest.mark.parametrize("place", ["export", "device"])
def test_a_disk_goes_into_a_larger_place_and_nothing_old_is_left_in_it(
    tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    where, behind = request.getfixturevalue(place)
    source, told = sparse(tmp_path / "source", SIZE), Told()
    assert copy(host(), str(source), where, blank=False, saved=told) is CopyWay.CONVERT
    assert (told.ends, told.offsets[-1]) == ({SIZE}, SIZE)
    there = behind.read_bytes()
    assert there[:SIZE] == source.read_bytes()
    assert there[SIZE:] == OLD * (4 * MiB)
    assert differs(host(), str(source), where) is None


@pytest.mark.parametrize("place", ["export", "device"])
def test_a_disk_comes_out_of_a_larger_place_with_its_zeros_as_holes(
    tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    where, behind = request.getfixturevalue(place)
    with behind.open("r+b") as file:
        file.write(sparse(tmp_path / "content", SIZE).read_bytes())
    if place == "device":
        command.run(["blockdev", "--flushbufs", where])
    for format_ in ("raw", "qcow2"):
        destination = blank(tmp_path / format_, format_, SIZE)
        copy(host(), where, str(destination), ("raw", format_))
        assert differs(host(), where, str(destination), ("raw", format_)) is None
        assert destination.stat().st_blocks * 512 < 2 * MiB


def test_one_that_is_cut_off_says_what_is_safe_and_goes_on_over_what_is_old(
    tmp_path: Path, export: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)  # told after each slice
    source, told = tmp_path / "source", Told(2)
    source.write_bytes(os.urandom(20 * MiB) + bytes(12 * MiB))
    with pytest.raises(HostError, match="stopped"):
        copy(host(), str(source), export[0], blank=False, bandwidth=lambda: 6 * MiB, saved=told)
    safe = told.offsets[-1]
    assert 0 < safe <= 16 * MiB
    assert export[1].read_bytes()[:safe] == source.read_bytes()[:safe]
    assert export[1].read_bytes()[-12 * MiB :] == OLD * (12 * MiB)
    copy(host(), str(source), export[0], begin=safe)  # said to be blank, which it was at its beginning
    assert export[1].read_bytes()[:SIZE] == source.read_bytes()


def test_one_from_the_network_keeps_to_its_rate_and_stops_in_half_a_second(
    tmp_path: Path, export: tuple[str, Path]
) -> None:
    destination, told = blank(tmp_path / "destination", size=SIZE), list[float]()

    def saved(_offset: int, _end: int) -> bool:
        told.append(time.monotonic())
        return len(told) < 4

    began = time.monotonic()
    with pytest.raises(HostError, match="stopped"):
        copy(host(), export[0], str(destination), bandwidth=lambda: 2 * MiB, saved=saved)
    assert time.monotonic() - told[-1] < 0.5
    assert destination.stat().st_blocks * 512 < (time.monotonic() - began + 1.5) * 2 * MiB
    assert max(after - before for before, after in itertools.pairwise(told)) < 1.5


def test_holes_of_the_network_cost_no_time_at_any_rate(tmp_path: Path) -> None:
    behind, size = sparse(tmp_path / "behind", 64 << 30), 64 << 30
    with served(tmp_path, "file", str(behind)) as uri:
        destination = blank(tmp_path / "destination", size=size)
        began = time.monotonic()
        copy(host(), uri, str(destination), bandwidth=lambda: 1 * MiB, length=size)
        assert time.monotonic() - began < 10.0
    assert destination.stat().st_blocks <= behind.stat().st_blocks + 8  # qemu-img allocates the first block
    with destination.open("rb") as file:
        file.seek(size - 3)
        assert file.read() == b"end"


def test_what_does_not_get_to_stable_storage_is_never_told_as_safe(tmp_path: Path) -> None:
    """qemu-img itself does not tell: its flush is when it closes the image."""
    source, told = tmp_path / "source", Told()
    source.write_bytes(os.urandom(SIZE))
    script = ["get_size=echo " + str(SIZE), "pwrite=cat >/dev/null", "flush=echo EIO no >&2; exit 1"]
    script += ["pread=dd if=/dev/zero count=$3 iflag=count_bytes status=none", "can_write=exit 0", "can_flush=exit 0"]
    with served(tmp_path, "eval", *script) as uri, pytest.raises(HostError, match="stable storage"):
        copy(host(), str(source), uri, blank=False, saved=told)
    assert told.offsets in ([], [0])


def test_a_place_that_is_gone_is_told_by_its_reason_and_no_options_of_qemu(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", SIZE)
    with pytest.raises(HostError) as caught:
        copy(host(), str(source), f"nbd+unix:///?socket={tmp_path}/none", blank=False)
    assert "No such file or directory" in caught.value.text
    assert "json:" not in caught.value.text


# Keys


def encrypted(path: Path, key: Secret, format_: str = "raw") -> Path:
    """As libvirt makes it, with a key that takes 10 ms."""
    secret = path.with_name("key")
    secret.write_bytes(VALUES[key])
    prefix = "" if format_ == "raw" else "encrypt."
    option = f"{prefix}key-secret=s,{prefix}iter-time=10" + ("" if format_ == "raw" else ",encrypt.format=luks")
    argv = ["qemu-img", "create", "-q", "--object", f"secret,id=s,file={secret}", "-o", option]
    argv += ["-f", driver(format_, key), str(path), str(SIZE)]

    def made() -> bool:  # it gives up when others take the CPU away
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    until(made, "qemu-img has measured the CPU", 120.0)
    return path


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_disk_goes_into_luks_and_to_another_key_and_out(tmp_path: Path, format_: str) -> None:
    plain = sparse(tmp_path / "plain", SIZE)
    one, two = encrypted(tmp_path / "one", ONE, format_), encrypted(tmp_path / "two", TWO)
    out = blank(tmp_path / "out", size=SIZE)
    by = host(**{str(one): ONE, str(two): TWO})
    for source, destination, formats in (
        (plain, one, ("raw", format_)),
        (one, two, (format_, "raw")),
        (two, out, ("raw", "raw")),
    ):
        copy(by, str(source), str(destination), formats)
        assert differs(by, str(source), str(destination), formats) is None
    assert out.read_bytes() == plain.read_bytes()
    assert out.stat().st_blocks * 512 < 2 * MiB
    content = plain.read_bytes()[MiB : MiB + 4 * KiB]
    assert content not in one.read_bytes()
    assert content not in two.read_bytes()


def test_what_was_a_hole_is_zeros_for_who_has_the_key(tmp_path: Path) -> None:
    """A hole in LUKS is no zeros: it must be written, whatever is said of the destination."""
    plain, one = blank(tmp_path / "plain", size=SIZE), encrypted(tmp_path / "one", ONE)
    by = host(**{str(one): ONE})
    copy(by, str(plain), str(one), blank=True)
    assert differs(by, str(plain), str(one)) is None


def test_a_wrong_key_is_told_before_a_byte_is_written(tmp_path: Path) -> None:
    one, out = encrypted(tmp_path / "one", ONE), blank(tmp_path / "out", size=SIZE)
    before = out.stat()
    with pytest.raises(HostError, match=r"[Ii]nvalid password"):
        copy(host(**{str(one): WRONG}), str(one), str(out))
    assert (out.stat().st_blocks, out.stat().st_mtime_ns) == (before.st_blocks, before.st_mtime_ns)


def test_the_bytes_of_an_encrypted_file_are_compared_without_its_key(tmp_path: Path) -> None:
    one, other = encrypted(tmp_path / "one", ONE), tmp_path / "other"
    other.write_bytes(one.read_bytes())
    by = host(**{str(one): WRONG, str(other): WRONG})

    def found() -> int | None:
        return by.compare_local(str(one), "raw", str(other), "raw", 0, SIZE, lambda _s: True, layer=False, files=True)

    assert found() is None
    with other.open("r+b") as file:
        file.seek(3 * MiB)
        file.write(b"x")
    assert found() is not None


# Whether somebody has written to it


def test_a_device_s_stamp_differs_after_a_write_and_not_after_a_read(device: tuple[str, Path]) -> None:
    where, _ = device
    stamp = files.stamp(where)
    command.run(["dd", f"if={where}", "of=/dev/null", "bs=1M", "iflag=direct", "status=none"])
    assert files.stamp(where) == stamp
    # By the page cache, which nobody has written back when it is asked.
    command.run(["dd", "if=/dev/zero", f"of={where}", "bs=4k", "count=1", "conv=notrunc", "status=none"])
    assert files.stamp(where) != stamp


def test_an_image_on_the_network_is_stamped_by_its_name_alone(export: tuple[str, Path], tmp_path: Path) -> None:
    by = host()
    stamp = by.stamp(export[0])
    assert stamp is not None
    copy(by, str(sparse(tmp_path / "source", SIZE)), export[0], blank=False)
    assert by.stamp(export[0]) == stamp
    with by.locked(export[0]):
        assert by.holders(export[0]) == ()
