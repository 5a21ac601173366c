"""The journal in a file of SQLite's, for the svmove processes of one host.

A write that has returned survives a power cut (synchronous=FULL). Who works on a move has an flock beside the file.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from svmove.errors import JournalError
from svmove.journal import lock, schema
from svmove.journal.bell import Bell
from svmove.journal.database import Database, Worker
from svmove.ports import Cancel


class SqliteDatabase(Database):
    """Raises JournalError when there is no such file, and none can be made."""

    sees_deaths = True

    def __init__(self, url: sa.URL, host: str) -> None:
        self.url, self.host = url, host
        self.engine = sa.create_engine(url)
        sa.event.listen(self.engine, "connect", schema.durable)
        self._hasty = sa.create_engine(url)
        sa.event.listen(self._hasty, "connect", schema.hasty)
        self._bell = Bell(self.folder)
        schema.make_file(url.database)

    @property
    def name(self) -> str:
        return f"journal {self.url.database}"

    @property
    def folder(self) -> Path:
        return Path(self.url.database or "").resolve().parent

    @contextmanager
    def working_on(self, move: str) -> Iterator[None]:
        with lock.working_on(self.folder, move), self._bell.heard(move):
            yield

    def owner(self, move: str) -> Worker | None:
        pid = lock.owner(self.folder, move)
        return None if pid is None else Worker(pid=pid, host=self.host)

    def await_release(self, move: str) -> None:
        lock.await_release(self.folder, move)

    def alive(self, _connection: sa.Connection, moves: Collection[str]) -> frozenset[str]:
        return frozenset(move for move in moves if lock.held(self.folder, move))

    def ring(self, move: str) -> None:
        self._bell.ring(move)

    def await_call(self, move: str, seconds: float, watch: Collection[int], cancel: Cancel) -> None:
        self._bell.wait(move, seconds, watch, cancel)

    @contextmanager
    def hasty(self) -> Iterator[sa.Connection]:
        with self._hasty.begin() as connection:
            yield connection

    def lock(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def journal_error(self, error: exc.SQLAlchemyError) -> JournalError:
        cause = getattr(error, "orig", None) or error
        return JournalError(f"{self.name}: {cause}", remedy="check the file, its folder and the space there")

    def close(self) -> None:
        self.engine.dispose()
        self._hasty.dispose()


def state_folder() -> Path:
    """`$XDG_STATE_HOME/svmove`; else /var/lib/svmove for root and ~/.local/state/svmove for others."""
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "svmove"
    return Path("/var/lib/svmove") if os.geteuid() == 0 else Path.home() / ".local/state/svmove"
