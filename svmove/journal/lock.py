"""One process works on a move. The kernel lets go of the lock when the process dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svmove.errors import JournalError, RefusedError


@contextmanager
def working_on(folder: Path, move: str) -> Iterator[None]:
    """Held while a process walks the move.

    Raises:
        RefusedError: another process does.
        JournalError: no lock can be had in the folder.
    """
    path = folder / "locks" / move
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"lock {path}: {error.strerror}", remedy="check the journal's folder") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = os.read(descriptor, 32).decode("ascii", "replace").strip() or "another"
            raise RefusedError(
                f"process {other} works on move {move}", remedy="wait for it, or end it with SIGTERM to roll back"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
        # Who waits for this file finds a move that needs nothing more, or makes a file of its own.
        with suppress(OSError):
            path.unlink()
    finally:
        os.close(descriptor)
