"""An access to a storage under way, in a process of its own: one that hangs in the kernel can't be killed, and is not
waited for."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import InspectLoader

from svmove.errors import HostError
from svmove.host import command, timed_write


class Timed:
    """See `svmove.ports_host.Probe`: of a command that prints its own seconds, or is timed."""

    def __init__(self, argv: Sequence[str], inherited: Sequence[int] = ()) -> None:
        self._began = time.monotonic()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=inherited,
            )
        except OSError as error:
            raise HostError(f"{argv[0]}: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def took(self, wait: float) -> float | None:
        if wait <= 0 and self._process.poll() is None:
            return None
        try:
            # With a timeout of 0 it would not even read what is there.
            said, _ = self._process.communicate(timeout=wait if wait > 0 else 1.0)
        except subprocess.TimeoutExpired:
            return None
        told = self._told(said.decode(errors="replace"))
        return time.monotonic() - self._began if told is None else told

    def _told(self, said: str) -> float | None:
        """Its own seconds. None: it was killed, or has none to tell."""
        with suppress(ValueError):
            return float(said)
        return None

    def give_up(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            command.abandon(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Read(Timed):
    """By qemu-io, without its start and the connection that it opens: on a busy host these alone take a second."""

    def _told(self, said: str) -> float | None:
        found = re.search(r"; (?:(\d+):(\d+):)?(\d+\.\d+) sec", said)
        if found is None:
            return 0.0  # an error is an answer
        hours, minutes, seconds = found.groups(default="0")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


class Write(Timed):
    """Of 64 KiB, beside a file."""

    def __init__(self, path: str) -> None:
        super().__init__([sys.executable, "-I", "-S", "-c", _source(), path])


def _source() -> str:
    """Not its file: on another host there is none."""
    loader = timed_write.__spec__.loader if timed_write.__spec__ else None
    assert isinstance(loader, InspectLoader)
    return loader.get_source(timed_write.__name__) or ""
