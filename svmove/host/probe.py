"""A write under way, in a process of its own: one that hangs in the kernel can't be killed, and is not waited for."""

import subprocess
import sys
import time
from contextlib import suppress

from svmove.errors import HostError
from svmove.host import command, timed_write


class Write:
    """See `svmove.ports_host.Probe`."""

    def __init__(self, path: str) -> None:
        self._began = time.monotonic()
        argv = [sys.executable, "-I", "-S", timed_write.__file__, path]
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise HostError(f"{sys.executable}: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def took(self, wait: float) -> float | None:
        try:
            said, _ = self._process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            return None
        with suppress(ValueError):
            return float(said)
        return time.monotonic() - self._began  # it was killed

    def give_up(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            command.abandon(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
