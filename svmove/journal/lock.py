"""One process works on a move. The kernel lets go of the lock when the process dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tenacity

from svmove.errors import JournalError, RefusedError


@contextmanager
def working_on(folder: Path, move: str) -> Iterator[None]:
    """Held while a process walks the move.

    Raises:
        RefusedError: another process does.
        JournalError: no lock can be had in the folder.
    """
    path = _path(folder, move)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"lock {path}: {error.strerror}", remedy="check the journal's folder") from error
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise RefusedError(
                f"process {_pid(descriptor) or 'unknown'} works on move {move}",
                remedy=f"wait for it (svmove wait {move}), or let it go back: svmove cancel {move}",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
        # Who waits for this file finds a move that needs nothing more, or makes a file of its own.
        with suppress(OSError):
            path.unlink()
    finally:
        os.close(descriptor)


# `owner` holds the lock for an instant: a worker that comes just then must not be sent away.
@tenacity.retry(stop=tenacity.stop_after_delay(0.5), wait=tenacity.wait_fixed(0.05), reraise=True)
def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def owner(folder: Path, move: str) -> int | None:
    """The process that works on the move. Raises JournalError."""
    with _opened(folder, move) as descriptor:
        return None if descriptor is None or _is_free(descriptor) else _pid(descriptor)


def held(folder: Path, move: str) -> bool:
    """Whether a process works on the move. Raises JournalError."""
    with _opened(folder, move) as descriptor:
        return descriptor is not None and not _is_free(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def await_release(folder: Path, move: str) -> None:
    """Returns when nobody works on the move any more: sleeps in the kernel until then. Raises JournalError."""
    with _opened(folder, move) as descriptor:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def _opened(folder: Path, move: str) -> Iterator[int | None]:
    path = _path(folder, move)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise JournalError(f"lock {path}: {error.strerror}", remedy="check the journal's folder") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _path(folder: Path, move: str) -> Path:
    return folder / "locks" / move


def _pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
