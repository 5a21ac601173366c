"""qemu-img, really run, on small files."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svmove.errors import HostError, UnverifiedError
from svmove.host import command
from svmove.host.local import LocalHost
from svmove.units import KiB, MiB

SIZE = 2 * MiB
NAMES = [
    "plain.raw",
    "-leading.raw",
    "a,b=c.raw",
    'quo\'te "double".raw',
    "größe ;$x `id`.raw",
    "new\nline.raw",
    "json:{}.raw",
]


def raw(path: Path, *, size: int = SIZE, at: int | None = None) -> Path:
    """`size` bytes of a pattern, with one other byte at `at`."""
    content = bytearray(bytes(range(256)) * (size // 256) + bytes(size % 256))
    if at is not None:
        content[at] ^= 0xFF
    path.write_bytes(content)
    return path


@contextmanager
def served(path: Path, socket: Path) -> Iterator[None]:
    """One raw file as the NBD export `vda` on a UNIX socket."""
    server = subprocess.Popen(
        [
            "qemu-nbd",
            "--read-only",
            "--persistent",
            "--shared=4",
            "--format=raw",
            "--export-name=vda",
            f"--socket={socket}",
            "--",
            path,
        ],
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert server.poll() is None, server.stderr
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=10)


# run


def test_a_command_s_output_is_returned() -> None:
    assert command.run(["echo", "a b", "$HOME"]) == "a b $HOME\n"


def test_a_command_that_fails_tells_its_last_line() -> None:
    with pytest.raises(HostError, match=r"^sh -c: second$"):
        command.run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])


def test_a_command_that_fails_silently_tells_its_exit_code() -> None:
    with pytest.raises(HostError, match="exit code 3"):
        command.run(["sh", "-c", "exit 3"])


def test_a_command_that_is_not_there_says_which_package_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="qemu-img is not installed") as caught:
        command.run(["qemu-img", "info"])
    assert caught.value.remedy == "apt-get install qemu-utils"


def test_a_command_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match="timed out"):
        command.run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - began < 30


def test_a_name_that_no_command_can_take_is_a_host_error() -> None:
    with pytest.raises(HostError):
        command.run(["echo", "a\0b"])


def test_output_that_is_no_utf_8_is_read_all_the_same() -> None:
    assert command.run(["printf", r"\377x"]) == "\ufffdx"


def test_the_key_in_the_old_name_of_a_ceph_image_is_not_repeated_as_qemu_does() -> None:
    key = "AQBWk1VnAAAAABAAc2VjcmV0cw=="
    name = f"rbd:vms/web:id=libvirt:key={key}:mon_host=127.0.0.1\\:1:client_mount_timeout=1"
    with pytest.raises(HostError, match=r"key=\*\*\*") as caught:
        command.run(["qemu-img", "info", name])
    assert key not in str(caught.value)


def test_the_key_in_the_name_of_what_lies_below_an_image_is_not_told(tmp_path: Path) -> None:
    key, top = "AQBWk1VnAAAAABAAc2VjcmV0cw==", str(tmp_path / "top.qcow2")
    name = f"rbd:vms/web:id=libvirt:key={key}:mon_host=127.0.0.1\\:1:client_mount_timeout=1"
    command.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", name, top, "1M"])
    with pytest.raises(HostError) as caught:
        LocalHost().chain(top, "qcow2")
    assert key not in str(caught.value)


def test_an_image_names_the_one_right_below_it_also_when_that_is_gone(tmp_path: Path) -> None:
    base, middle, top = (str(tmp_path / name) for name in ("base.img", "middle.qcow2", "top.qcow2"))
    command.run(["qemu-img", "create", "-q", "-f", "raw", base, "1M"])
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", middle])
    node = json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": middle}})
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", f"json:{node}", "-F", "qcow2", top])
    assert command.based_on(top, "qcow2") == (middle, "qcow2")
    assert command.based_on(middle, "qcow2") == (base, "raw")
    Path(base).unlink()
    assert command.based_on(middle, "qcow2") == (base, "raw")
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "1M"])
    assert command.based_on(base, "qcow2") is None
    command.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", 'json:{"driver":"null-co"}', "-F", "raw", top, "1M"]
    )
    for unknown in (top, str(tmp_path / "none.qcow2")):
        with pytest.raises(HostError):
            command.based_on(unknown, "qcow2")


# info


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_described_whatever_its_name(tmp_path: Path, name: str) -> None:
    image = LocalHost().image(str(raw(tmp_path / name)), "raw")
    assert (image.format, image.virtual_bytes, image.cluster_bytes) == ("raw", SIZE, None)


def test_a_relative_name_is_never_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw(tmp_path / "--help")
    monkeypatch.chdir(tmp_path)
    assert command.image_info("--help", "raw")["virtual-size"] == SIZE


def test_the_options_of_a_qcow2_are_described(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    options = "cluster_size=1M,extended_l2=on,lazy_refcounts=on"
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(path), "16M"])
    command.run(["qemu-img", "snapshot", "-c", "before", str(path)])
    image = LocalHost().image(str(path), "qcow2")
    assert (image.format, image.virtual_bytes, image.cluster_bytes, image.compat) == ("qcow2", 16 * MiB, MiB, "1.1")
    assert (image.extended_l2, image.lazy_refcounts, image.encrypted, image.data_file) == (True, True, False, None)
    assert image.internal_snapshots == ("before",)
    assert 0 < image.allocated_bytes < 16 * MiB


def test_an_external_data_file_is_described(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/a.data", str(path), "16M"])
    assert LocalHost().image(str(path), "qcow2").data_file == f"{tmp_path}/a.data"


def test_a_file_that_is_not_there_or_of_another_format_is_a_host_error(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        LocalHost().image(str(tmp_path / "none"), "raw")
    with pytest.raises(HostError):
        LocalHost().image(str(raw(tmp_path / "a")), "qcow2")


def test_a_format_is_never_probed(tmp_path: Path) -> None:
    """A guest may write a qcow2 header into its raw disk, and name any file of the host in it."""
    path = tmp_path / "evil.raw"
    command.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1G"])
    image = LocalHost().image(str(path), "raw")
    assert image.format == "raw"
    assert image.virtual_bytes == -(-path.stat().st_size // 512) * 512


# compare


def test_a_reader_whose_storage_says_nothing_is_ended_when_it_is_to_be(tmp_path: Path) -> None:
    looks: list[int] = []

    def advanced(size: int) -> bool:
        looks.append(size)
        return len(looks) < 3

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(UnverifiedError):
            LocalHost().compare(str(raw(tmp_path / "a")), "raw", str(tmp_path / "s"), "vda", 0, SIZE, advanced)
    assert time.monotonic() - began < 10
    assert looks == [0, 0, 0]


def compare(source: Path, socket: Path, offset: int = 0, length: int = SIZE, format_: str = "raw") -> int | None:
    return LocalHost().compare(str(source), format_, str(socket), "vda", offset, length, lambda _bytes: True)


@pytest.mark.parametrize("name", NAMES)
def test_equal_images_are_equal_whatever_their_name(tmp_path: Path, name: str) -> None:
    with served(raw(tmp_path / "copy"), tmp_path / "s"):
        assert compare(raw(tmp_path / name), tmp_path / "s") is None


def test_all_bytes_are_counted_once(tmp_path: Path) -> None:
    counted: list[int] = []

    def advanced(size: int) -> bool:
        counted.append(size)
        return True

    with served(raw(tmp_path / "copy"), tmp_path / "s"):
        LocalHost().compare(str(raw(tmp_path / "a")), "raw", str(tmp_path / "s"), "vda", 0, SIZE, advanced)
    assert sum(counted) == SIZE
    assert min(counted) >= 0


@pytest.mark.parametrize("at", [0, 1, 512, MiB + 4097, SIZE - 1])
def test_the_first_difference_is_found_to_the_sector(tmp_path: Path, at: int) -> None:
    with served(raw(tmp_path / "copy", at=at), tmp_path / "s"):
        found = compare(raw(tmp_path / "a"), tmp_path / "s")
    assert found is not None
    assert found <= at < found + 64 * KiB


def test_a_slice_is_compared_alone_and_its_offsets_are_the_image_s(tmp_path: Path) -> None:
    at = MiB + 8192
    with served(raw(tmp_path / "copy", at=at), tmp_path / "s"):
        source = raw(tmp_path / "a")
        assert compare(source, tmp_path / "s", 0, MiB) is None
        assert compare(source, tmp_path / "s", MiB, MiB) == at
        assert compare(source, tmp_path / "s", at + 4096, SIZE - at - 4096) is None


def test_a_qcow2_is_compared_by_what_the_guest_sees(tmp_path: Path) -> None:
    source = raw(tmp_path / "a")
    qcow2 = tmp_path / "a.qcow2"
    command.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(source), str(qcow2)])
    with served(source, tmp_path / "s"):
        assert compare(qcow2, tmp_path / "s", format_="qcow2") is None
        assert compare(qcow2, tmp_path / "s", MiB, MiB, format_="qcow2") is None


def test_a_hole_equals_zeroes_and_nothing_else(tmp_path: Path) -> None:
    holes, zeroes = tmp_path / "holes", tmp_path / "zeroes"
    with holes.open("wb") as file:
        file.truncate(SIZE)
    zeroes.write_bytes(bytes(SIZE))
    with served(zeroes, tmp_path / "s"):
        assert compare(holes, tmp_path / "s") is None
    with served(raw(tmp_path / "data"), tmp_path / "t"):
        assert compare(holes, tmp_path / "t") == 0


def test_a_comparison_is_stopped_when_it_is_told_to(tmp_path: Path) -> None:
    with served(raw(tmp_path / "copy"), tmp_path / "s"), pytest.raises(UnverifiedError):
        LocalHost().compare(str(raw(tmp_path / "a")), "raw", str(tmp_path / "s"), "vda", 0, SIZE, lambda _bytes: False)


def test_an_export_that_is_not_there_is_no_difference_but_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        compare(raw(tmp_path / "a"), tmp_path / "none")


def test_a_source_that_is_gone_is_no_difference_but_an_error(tmp_path: Path) -> None:
    with served(raw(tmp_path / "copy"), tmp_path / "s"), pytest.raises(HostError):
        compare(tmp_path / "none", tmp_path / "s")


def test_a_scratch_file_has_the_size_that_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "-o,a.qcow2"
    command.create_qcow2(str(path), 8 * MiB)
    assert json.loads(command.run(["qemu-img", "info", "--output=json", str(path)]))["virtual-size"] == 8 * MiB


def test_a_file_is_the_same_as_its_copy_and_a_copy_that_is_stopped_says_so(tmp_path: Path) -> None:
    host, one = LocalHost(), raw(tmp_path / "-one.iso")
    other, spoilt = tmp_path / "other.iso", raw(tmp_path / "spoilt.iso", at=MiB)
    other.write_bytes(bytes(SIZE))

    def copy(saved: bool) -> None:
        host.copy_image(
            str(one),
            "raw",
            str(other),
            "raw",
            length=None,
            begin=0,
            bandwidth=lambda: 64 * MiB,
            saved=lambda _offset, _end: saved,
        )

    def difference(path: Path) -> int | None:
        return host.compare_local(str(one), "raw", str(path), "raw", 0, SIZE, lambda _size: True, layer=False)

    with pytest.raises(HostError, match="stopped"):
        copy(saved=False)
    copy(saved=True)
    assert one.read_bytes() == other.read_bytes()
    assert (difference(other), difference(spoilt)) == (None, MiB)
