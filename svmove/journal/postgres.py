"""The journal in a PostgreSQL database, for the svmove processes of a fleet.

A process has ONE session. That session holds an advisory lock for each move that the process works on, and all writes
go through it. So when the process dies, or its host, the server frees the lock; and when the session is lost while
the process lives, it can write nothing, and so do nothing, until a new session has that lock again.
"""

import hashlib
import json
import os
import re
import secrets
import select
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import sqlalchemy as sa
import tenacity
from sqlalchemy import exc

from svmove.errors import JournalError, RefusedError
from svmove.journal import schema
from svmove.journal.bell import poll_until
from svmove.journal.database import Database, LostError, Worker
from svmove.journal.postgres_errors import journal_error
from svmove.journal.sqlite import state_folder
from svmove.ports import Cancel
from svmove.redact import redact

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

# A server that is restarted, or fails over, is back within this time; what is done then is done again.
_PATIENCE = 60.0
_HURRIED = 2.0
# A host that lost its power, or its network, is known to be gone after 10 + 3 * 5 s, on both sides.
_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",  # since 14: a move may write nothing for hours
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "30s",
}
# In which a server that was restarted counts all as alive: they come back one by one, each for what it had.
_GRACE = "15 seconds"
# Not a move's: transactions that exclude each other.
_EXCLUSIVE = 1
_NAME = re.compile(r"svmove (?P<pid>\d+)/\w+ on (?P<host>.*)", re.DOTALL)

_LOCKS = """
    SELECT (l.classid::bigint << 32) | l.objid::bigint AS key, a.application_name AS name, a.pid AS backend
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresDatabase(Database):
    """Raises JournalError when the server can't be reached, or has no such database."""

    sees_deaths = False

    def __init__(self, url: sa.URL, host: str) -> None:
        self.url, self.host = url.set(drivername="postgresql+psycopg"), host
        self._claimed: dict[str, None] = {}
        self._number = secrets.token_hex(4)
        self._patience = _PATIENCE
        self._trying = False
        self.engine = self._engine(pool_size=1, max_overflow=0)
        sa.event.listen(self.engine, "connect", self._begin_session)
        schema.make_folder(self.folder)

    def _engine(self, **options: Any) -> sa.Engine:
        told = {"application_name": self._session_name, "connect_timeout": 10, **_ALIVE}
        return sa.create_engine(self.url, connect_args=told, **options)

    @property
    def _session_name(self) -> str:
        # So long may it be. With a number of its own: hosts may have the same name.
        return f"svmove {os.getpid()}/{self._number} on {self.host}".encode()[:63].decode(errors="ignore")

    @property
    def name(self) -> str:
        return f"journal {redact(self.url.set(drivername='postgresql').render_as_string(hide_password=False))}"

    @property
    def folder(self) -> Path:
        return state_folder()

    def address(self, uri: str) -> str:
        """All hosts call their own qemu:///system: with the host's name it is the address that others know."""
        parts = urlsplit(uri)
        if parts.netloc:
            return super().address(uri)
        scheme = f"{parts.scheme.partition('+')[0]}+ssh"
        return f"{scheme}://{self.host}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def _begin_session(self, connection: "Connection", _record: object) -> None:
        """Of a new session: how long it lives, and what the process works on, before anything else is done."""
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                # Those that this server knows; the others have no such timeout.
                cursor.execute(
                    "SELECT set_config(name, %s::jsonb ->> name, false) FROM pg_settings WHERE name = ANY(%s)",
                    (json.dumps(_SETTINGS), list(_SETTINGS)),
                )
                cursor.execute("SELECT set_config(name, 'on', false) FROM pg_settings "
                               "WHERE name = 'synchronous_commit' AND setting = 'off'")  # fmt: skip
                cursor.execute("SHOW fsync")
                _unless(cursor.fetchone() != ("on",), f"{self.name}: the server has fsync = off",
                        "set it to on: a journal must outlive a crash")  # fmt: skip
            for move in self._claimed:
                text = f"{self.name}: the connection was lost, and another process works on move {move} by now"
                _unless(not self._reclaim(connection, move), text, "let that one go on")
        except BaseException:
            connection.close()
            raise
        connection.autocommit = False

    def _reclaim(self, connection: "Connection", move: str) -> bool:
        for _ in range(20):
            if _lock(connection, move):
                return True
            # Where the way to the server was broken, it may not know yet that our session is gone.
            ours = f"SELECT pg_terminate_backend(backend) FROM ({_LOCKS}) AS locks WHERE key = %s AND name = %s"  # noqa: S608 (constants)
            if not connection.execute(ours.encode(), (_key(move), self._session_name)).fetchall():
                return False
            time.sleep(0.1)
        return False

    @contextmanager
    def working_on(self, move: str) -> Iterator[None]:
        self._claim(move)
        try:
            yield
        finally:
            del self._claimed[move]
            with suppress(JournalError), self.transaction() as connection:  # a session that is gone holds nothing
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_key(move),))
                connection.exec_driver_sql(f'UNLISTEN "{_channel(move)}"')

    def _claim(self, move: str) -> None:
        def claim() -> bool:
            with self.transaction() as connection:
                return move not in self._claimed and _lock(_driver(connection), move)

        # Whoever waits for its end has the lock for an instant.
        had = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda had: not had),
            stop=tenacity.stop_after_delay(0.5),
            wait=tenacity.wait_fixed(0.05),
            retry_error_callback=lambda _state: False,
        )(lambda: self.again(claim))
        if not had:  # or had by this very session, to which the server would give it twice
            raise RefusedError(
                f"{_who(self.owner(move), self.host)} works on move {move}",
                remedy=f"wait for it (svmove wait {move}), or let it go back: svmove cancel {move}",
            )
        self._claimed[move] = None

    def owner(self, move: str) -> Worker | None:
        def look() -> Worker | None:
            with self.transaction() as connection:
                names = {row.key: row.name for row in connection.exec_driver_sql(_LOCKS)}
            if (key := _key(move)) not in names:
                return None
            told = _NAME.fullmatch(names[key] or "")
            return Worker(pid=int(told["pid"]) if told else None, host=told["host"] if told else "")

        return self.again(look)

    def await_release(self, move: str) -> None:
        """In a session of its own, which sleeps in the server."""
        engine = self._engine(poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")

        def sleep() -> None:
            try:
                with engine.connect() as connection:
                    for name in ("statement_timeout", "lock_timeout"):
                        connection.exec_driver_sql(f"SET {name} TO 0")
                    connection.exec_driver_sql("SELECT pg_advisory_lock_shared(%s)", (_key(move),))
            except exc.SQLAlchemyError as error:
                raise self.journal_error(error) from error

        self.again(sleep)

    def alive(self, connection: sa.Connection, moves: Collection[str]) -> frozenset[str]:
        young = f"SELECT clock_timestamp() - pg_postmaster_start_time() < interval '{_GRACE}'"
        if connection.exec_driver_sql(young).scalar():
            return frozenset(moves)
        locked = {row.key for row in connection.exec_driver_sql(_LOCKS)}
        return frozenset(move for move in moves if _key(move) in locked)

    def ring(self, move: str) -> None:
        with suppress(JournalError), self.transaction() as connection:
            connection.exec_driver_sql("SELECT pg_notify(%s, '')", (_channel(move),))

    def await_call(self, _move: str, seconds: float, _watch: Collection[int], cancel: Cancel) -> None:
        try:
            with self.engine.connect() as connection:
                driver = _driver(connection)
                if not list(driver.notifies(timeout=0)):
                    poll = select.poll()
                    poll.register(driver.fileno(), select.POLLIN)
                    poll_until(poll, seconds, cancel)
                    list(driver.notifies(timeout=0))
        except (exc.SQLAlchemyError, OSError, _driver_error()):
            # The next look finds that out, and gets a new session; not all who waited at the same instant.
            time.sleep(1.0)

    @contextmanager
    def hasty(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield connection

    def now(self, connection: sa.Connection, _at: float) -> float:
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())

    def lock(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_EXCLUSIVE,))

    def journal_error(self, error: exc.SQLAlchemyError) -> JournalError:
        return journal_error(self.name, self.url, error)

    def again(self, work: Callable[[], T]) -> T:
        if self._trying:  # part of what is tried again as a whole
            return work()

        def tried(_state: tenacity.RetryCallState) -> None:
            self.retrying = True

        self._trying = True
        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(LostError),
                stop=lambda state: (state.seconds_since_start or 0.0) > self._patience,
                wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
                before_sleep=tried,
                reraise=True,
            )(work)
        finally:
            self.retrying = self._trying = False

    def hurry(self, *, on: bool = True) -> None:
        self._patience = _HURRIED if on else _PATIENCE

    def close(self) -> None:
        self.engine.dispose()


def _unless(wrong: bool, text: str, remedy: str) -> None:
    if wrong:
        raise JournalError(text, remedy=remedy)


def _lock(connection: "Connection", move: str) -> bool:
    """Whether this session has the move's lock now; then it hears who calls, too."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(move),)).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute(f'LISTEN "{_channel(move)}"'.encode())
    return True


def _key(move: str) -> int:
    """Of its advisory lock: a bigint, positive as `_LOCKS` reads it."""
    return int.from_bytes(hashlib.sha256(move.encode()).digest()[:8], "big") >> 1


def _channel(move: str) -> str:
    return f"svmove_{_key(move):016x}"


def _driver(connection: sa.Connection) -> "Connection":
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver  # type: ignore[no-any-return]


def _driver_error() -> type[Exception]:
    from psycopg import Error

    return Error


def _who(worker: Worker | None, here: str) -> str:
    if worker is None or worker.pid is None:
        return "process unknown"
    return f"process {worker.pid}" + ("" if worker.host == here else f" on {worker.host}")
