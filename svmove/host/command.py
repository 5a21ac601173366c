"""Commands as argument lists: never a shell, never a name that could be read as an option."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from svmove.errors import HostError
from svmove.host.nodes import Nodes
from svmove.redact import without_keys


class SilentError(HostError):
    """A command that did not end in its time."""


def run(argv: Sequence[str], *, timeout: float = 60.0, inherited: Sequence[int] = (), tolerant: bool = False) -> str:
    """The command's standard output. Raises HostError when it can't be run, takes too long, or fails (unless that is
    tolerated)."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            pass_fds=inherited,
            env={**os.environ, "LC_ALL": "C.UTF-8"},  # what they say is read
        )
    except FileNotFoundError as error:
        raise HostError(
            f"{argv[0]} is not installed", remedy=f"apt-get install {_PACKAGES.get(argv[0], argv[0])}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SilentError(f"{argv[0]} {argv[1]}: timed out after {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise HostError(f"{argv[0]}: {error}") from error
    if done.returncode != 0 and not tolerant:
        raise HostError(f"{argv[0]} {argv[1]}: {last_line(done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout


def end_in_time(commands: Sequence[Sequence[str]], seconds: float, inherited: Sequence[int] = ()) -> bool:
    """Whether all of them, run at once, end in that time, however they end.

    One that hangs in the kernel can't be killed, and must not be waited for. Raises HostError when one can't be run.
    """
    deadline = time.monotonic() + seconds
    none = subprocess.DEVNULL
    try:
        running = [
            subprocess.Popen(argv, stdin=none, stdout=none, stderr=none, pass_fds=inherited) for argv in commands
        ]
    except OSError as error:
        raise HostError(f"{commands[0][0]}: {error}") from error
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            for left in running:
                left.kill()
                abandon(left)
            return False
    return True


def abandon(process: "subprocess.Popen[bytes]") -> None:
    """Nobody waits for it any more."""
    _ABANDONED.append(process)


# Kept, so that Python does not warn of them; reaped when they end, or with this process.
_ABANDONED: list["subprocess.Popen[bytes]"] = []
# An overlay of 256 MiB on a storage that gives 100 KiB/s is still merged (seconds).
_PATIENT = 3600.0
# QEMU repeats all its options before the reason.
_OPTIONS = re.compile(r"(Could not open 'json:.*\}'|can't open device json:.*\}): ")
_PACKAGES = {"qemu-img": "qemu-utils"}


def image_info(path: str, format_: str) -> dict[str, Any]:
    """`qemu-img info` of one image, also while a guest has it open (-U). Raises HostError."""
    document: dict[str, Any] = json.loads(run(["qemu-img", "info", "--output=json", "-U", "-f", format_, "--", path]))
    return document


def below(path: str, format_: str) -> list[tuple[str, str]]:
    """Path and format of each file below an image, nearest first, without keys. Raises HostError."""
    argv = ["qemu-img", "info", "--output=json", "-U", "--backing-chain", "-f", format_, "--", path]
    return [(without_keys(image["filename"]), image["format"]) for image in json.loads(run(argv))[1:]]


def based_on(path: str, format_: str) -> tuple[str, str] | None:
    """Path and format of what lies right below an image, which need not be there, without keys. Raises HostError."""
    info = image_info(path, format_)
    name = info.get("full-backing-filename") or info.get("backing-filename")
    if name is None:
        return None
    if name.startswith("json:"):  # as QEMU names what no plain name says
        node = json.loads(name.removeprefix("json:"))
        if (name := (node.get("file") or {}).get("filename")) is None:
            raise HostError(f"{path} is based on what is no plain file: {without_keys(json.dumps(node))}")
    # Of an image that does not say it libvirt takes it for raw as well.
    return without_keys(name.removeprefix("file:")), info.get("backing-filename-format", "raw")


def holds_nothing(path: str, format_: str) -> bool:
    """Whether no extent of the image has data. Raises HostError."""
    extents = json.loads(run(["qemu-img", "map", "--output=json", "-U", "-f", format_, "--", path]))
    return not any(extent["data"] and extent["depth"] == 0 for extent in extents)


def own_extents(path: str, format_: str) -> list[tuple[int, int]]:
    """What an image has itself, not by a file below it, which need not be there: offset, length. Raises HostError."""
    with Nodes() as nodes:
        alone = nodes.image(path, format_, alone=True)
        found = json.loads(run(nodes.command(["qemu-img", "map", "--output=json", "-U"], alone)))
    return [(e["start"], e["length"]) for e in found if e.get("present", e["data"])]


def rebase(path: str, format_: str, backing: str, backing_format: str) -> None:
    """Changes the name of the file below in the image's header, and nothing else. Raises HostError."""
    run(["qemu-img", "rebase", "-q", "-u", "-f", format_, "-b", backing, "-F", backing_format, "--", path])


def commit(path: str, format_: str) -> None:
    """Brings an image into the file below it. QEMU's own lock keeps a guest from being started meanwhile."""
    run(["qemu-img", "commit", "-q", "-d", "-f", format_, "--", path], timeout=_PATIENT)


def allocate(path: str, length: int) -> bool:
    """`fallocate` of the whole range; the file's size stays (-n). False: the file system can't. Raises HostError.

    Not of a file without a hole: XFS wants as much free as the range is long, though all of it has its room. The
    command, since posix_fallocate of a C library that can't writes zeroes itself, over what QEMU just wrote.
    """
    if _is_dense(path, length):
        return True
    try:
        # A TiB of ext4 takes seconds; a busy network file system more.
        run(["fallocate", "-n", "-l", str(length), "--", path], timeout=600.0)
    except HostError as error:
        if "unsupported" in error.text or "not supported" in error.text:
            return False
        raise
    return True


def _is_dense(path: str, length: int) -> bool:
    """Whether the file's first `length` bytes are data, not a hole, nor allocated and never written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(descriptor, 0, os.SEEK_HOLE) >= length
        finally:
            os.close(descriptor)
    except OSError:  # an empty file has nothing at 0
        return False


def create_qcow2(path: str, virtual_bytes: int) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", "--", path, str(virtual_bytes)])


def last_line(text: str) -> str:
    return _OPTIONS.sub("", text.strip().rpartition("\n")[2])
