"""Encrypted files, made by qemu-img itself: read with their key, which is on no command line."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from svmove.errors import HostError, InterruptedMoveError
from svmove.host import command, encrypted
from svmove.host.local import LocalHost
from svmove.host.nodes import Nodes
from svmove.location import Secret
from svmove.retries import UNMEASURED
from svmove.units import MiB
from svmove.volumes import LUKS_HEADER
from tests.real.world import until

SIZE = 4 * MiB
KEY, WRONG = Secret(usage="web"), Secret(usage="wrong")
VALUES = {KEY: b"correct horse", WRONG: b"wrong horse"}
# A key that takes 10 ms, where QEMU would make it take 2 s.
QUICK = "iter-time=10"
OLD = b"\xaa" * 16 * MiB


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By format. Making one takes seconds, of which QEMU measures what the CPU can do.

    Tried again: it gives up when others take the CPU away."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "key").write_bytes(VALUES[KEY])
    options = {"raw": f"key-secret=s,{QUICK}", "qcow2": f"encrypt.format=luks,encrypt.key-secret=s,encrypt.{QUICK}"}
    for format_, option in options.items():
        argv = ["qemu-img", "create", "-q", "--object", f"secret,id=s,file={folder}/key", "-o", option]
        argv += ["-f", encrypted.driver(format_, KEY), f"{folder}/{format_}", str(SIZE)]
        until(partial(created, argv), "qemu-img has measured the CPU", 120.0)
    return {format_: folder / format_ for format_ in options}


def created(argv: list[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "accurate CPU usage" in done.stderr
    return done.returncode == 0


@pytest.fixture
def path(made: dict[str, Path], format_: str, tmp_path: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", made[format_], tmp_path / "a"], check=True)
    return tmp_path / "a"


def host(path: Path, key: Secret | None = KEY) -> LocalHost:
    opened = LocalHost(VALUES.__getitem__)
    opened.unlock(str(path), key)
    return opened


def write(path: Path, format_: str, pattern: int) -> None:
    with Nodes(VALUES.__getitem__) as nodes:
        node = nodes.image(str(path), format_, luks=KEY)
        argv = nodes.command(["qemu-io", "-c", f"write -P {pattern} 1M 64k"], node)
        command.run(argv, inherited=nodes.inherited)


@contextmanager
def exported(path: Path, socket: Path) -> Iterator[None]:
    """As QEMU does at the cutover: what is decrypted, as `disk`."""
    argv = ["qemu-nbd", "-f", "raw", "-k", str(socket), "-x", "disk", "-e", "8", "-t", str(path)]
    with subprocess.Popen(argv) as process:
        try:
            while not socket.exists():
                assert process.poll() is None
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_an_encrypted_image_has_the_size_that_the_guest_sees(path: Path, format_: str) -> None:
    found = host(path).image(str(path), format_)
    assert (found.format, found.virtual_bytes, found.encrypted) == (format_, SIZE, True)


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_a_wrong_key_is_found_and_the_right_one_is_not(path: Path, format_: str) -> None:
    host(path).check_key(str(path), format_)
    host(path, None).check_key(str(path), format_)  # of what is not encrypted there is nothing to say
    with pytest.raises(HostError, match="Invalid password") as caught:
        host(path, WRONG).check_key(str(path), format_)
    assert "horse" not in caught.value.text


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_it_is_compared_decrypted(path: Path, tmp_path: Path, format_: str) -> None:
    plain, socket = tmp_path / "plain", tmp_path / "s"
    write(path, format_, 7)
    plain.write_bytes(b"\0" * MiB + b"\7" * 65536 + b"\0" * (SIZE - MiB - 65536))
    # What nobody wrote into raw LUKS decrypts to noise.
    ranges = (MiB, 65536) if format_ == "raw" else (0, SIZE)
    with exported(plain, socket):
        one = host(path)
        assert one.compare(str(path), format_, str(socket), "disk", *ranges, lambda _size: True) is None
        write(path, format_, 8)
        assert one.compare(str(path), format_, str(socket), "disk", *ranges, lambda _size: True) == MiB


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
def test_it_is_blank_until_something_is_written_behind_its_header(path: Path, format_: str) -> None:
    assert host(path).is_blank(str(path), format_, 0.0)
    write(path, format_, 7)
    assert not host(path).is_blank(str(path), format_, 0.0)


@pytest.mark.parametrize("format_", ["raw"])
def test_one_that_is_only_half_made_is_not_blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(208)  # the first key slot: active is 0x00AC71F3, which QEMU writes last
        assert file.read(4) == bytes.fromhex("00ac71f3")
        file.seek(208)
        file.write(bytes.fromhex("0000dead"))
    assert not host(path).is_blank(str(path), "raw", 0.0)
    path.write_bytes(b"")
    assert not host(path).is_blank(str(path), "raw", 0.0)


def test_the_passphrase_is_in_no_argument_and_no_option(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 8192)
    with Nodes(VALUES.__getitem__) as nodes:
        argv = nodes.command(["qemu-io"], nodes.image(str(path), "raw", luks=KEY))
        assert "secret0" in argv[2], "the secret of an image that is described in the same breath"
        assert "horse" not in str(argv)
        (file,) = nodes.inherited
        assert Path(f"/proc/self/fd/{file}").read_bytes() == VALUES[KEY]
    assert encrypted.driver("raw", None) == "raw"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What is 16 MiB large, and has something old in it."""
    path = tmp_path / "old"
    path.write_bytes(OLD)
    return path


def headed(path: Path) -> bool:
    try:
        host(path).write_header(str(path), lambda: None)
    except HostError as error:
        if UNMEASURED not in error.text:
            raise
        return False
    return True


def test_a_header_is_written_and_nothing_behind_it_is_touched(old: Path) -> None:
    until(partial(headed, old), "qemu-img has measured the CPU", 120.0)
    one = host(old)
    found = one.image(str(old), "raw")
    assert (found.payload_offset, found.virtual_bytes, found.encrypted) == (LUKS_HEADER, len(OLD) - LUKS_HEADER, True)
    one.check_key(str(old), "raw")
    with pytest.raises(HostError, match="Invalid password"):
        host(old, WRONG).check_key(str(old), "raw")
    assert old.read_bytes()[LUKS_HEADER:] == OLD[LUKS_HEADER:]


def test_a_header_that_is_given_up_or_has_no_key_leaves_all_as_it_was(old: Path) -> None:
    def stop() -> None:
        raise InterruptedMoveError("stopped")

    for key in (KEY, None):
        with pytest.raises((InterruptedMoveError, HostError)):  # it may not have come so far as to be stopped
            host(old, key).write_header(str(old), stop)
    assert old.read_bytes() == OLD
