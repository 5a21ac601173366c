"""One command at a time on one lab, and no file left behind by it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svmove.lab.errors import LabError


@contextmanager
def held(path: Path, *, timeout: float = 120.0) -> Iterator[None]:
    """Holds the lock; the kernel lets go of it when this process dies, however it dies.

    The holder removes the file before it lets go, so whoever waited on it must look whether what it locked
    is still what lies at the path.

    Raises:
        LabError: somebody else held it for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise LabError(
                f"another svmove lab command has held {path} for {timeout:.0f} s",
                remedy="wait for it to end, or end it",
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)
