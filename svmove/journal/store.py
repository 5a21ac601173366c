"""The journal in a database: SQLite, through SQLAlchemy Core.

Invariants: a write that has returned survives a power cut (SQLite: synchronous=FULL); at most one move that
has not ended exists per domain (a unique index, so also between processes); a database of a newer schema is
refused, never guessed at.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import tenacity
from sqlalchemy import exc

from svmove.errors import JournalError, NotFoundError, RefusedError
from svmove.journal.records import Entry, Kind, Record
from svmove.moves import Plan
from svmove.redact import redact

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1

_metadata = sa.MetaData()
_schema = sa.Table("svmove_schema", _metadata, sa.Column("version", sa.Integer, nullable=False))
_moves = sa.Table(
    "moves",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("uuid", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
)
_one_per_domain = sa.Index(
    "one_move_per_domain",
    _moves.c.uuid,
    unique=True,
    sqlite_where=_moves.c.ended.is_(False),
)
_entries = sa.Table(
    "entries",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("move", sa.ForeignKey("moves.id"), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("target", sa.Text),
    sa.Column("data", sa.Text, nullable=False),
)


def state_folder() -> Path:
    """`$XDG_STATE_HOME/svmove`; else /var/lib/svmove for root and ~/.local/state/svmove for others."""
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "svmove"
    return Path("/var/lib/svmove") if os.geteuid() == 0 else Path.home() / ".local/state/svmove"


def default_url() -> str:
    return f"sqlite:///{state_folder() / 'journal.sqlite'}"


class Journal:
    """Raises JournalError when the database can't be opened, read or written, or is a newer svmove's."""

    def __init__(self, url: str) -> None:
        try:
            self.url = sa.make_url(url if "://" in url else f"sqlite:///{url}")
            if self.url.drivername != "sqlite":
                # What another database promises of durability and of the index would have to be tried first.
                raise JournalError(
                    f"{self._name}: this version keeps its journal in SQLite", remedy="write sqlite:////path/to/file"
                )
            self._engine = sa.create_engine(self.url)
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
            raise JournalError(
                f"not a journal URL: {redact(url)!r}", remedy="write sqlite:////path/to/journal.sqlite"
            ) from error
        sa.event.listen(self._engine, "connect", _sqlite_durable)
        _make_file(self.url.database)
        self._prepare()

    @tenacity.retry(
        # Turning a new file to WAL fails at once, without SQLite's own waiting, while another first run does it too.
        retry=tenacity.retry_if_exception_message(match=".*database is locked"),
        stop=tenacity.stop_after_delay(5),
        wait=tenacity.wait_random(0.01, 0.1),
        reraise=True,
    )
    def _prepare(self) -> None:
        with self._transaction() as connection:
            # Two first runs at once: the second must not look before the first has made all tables.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _metadata.create_all(connection)
            version = connection.scalar(sa.select(_schema.c.version))
            if version is None:
                connection.execute(_schema.insert().values(version=SCHEMA))
            elif version != SCHEMA:
                raise JournalError(
                    f"{self._name}: schema {version}, but this svmove knows {SCHEMA}",
                    remedy="use the svmove that wrote it",
                )

    @property
    def _name(self) -> str:
        return f"journal {redact(self.url.render_as_string(hide_password=False))}"

    @property
    def folder(self) -> Path:
        """Where the files that belong to moves are kept: beside the journal."""
        return Path(self.url.database or "").resolve().parent

    def begin(self, plan: Plan, uri: str, phase: str) -> Record:
        """Raises RefusedError, naming the other, when a move that has not ended owns the domain."""
        row = {
            "id": plan.move,
            "uri": uri,
            "uuid": plan.uuid,
            "domain": plan.domain,
            "phase": phase,
            "ended": False,
            "created": plan.created,
            "plan": json.dumps(dataclasses.asdict(plan)),
        }
        try:
            with self._transaction() as connection:
                connection.execute(_moves.insert().values(row))
        except exc.IntegrityError:
            other = self.open_move(plan.uuid)
            raise RefusedError(
                f"move {other} owns domain {plan.domain}",
                remedy=f"wait for it, or finish it: svmove resume {other}",
            ) from None
        return Record(plan=plan, uri=uri, phase=phase, ended=False, entries=())

    def write(
        self,
        move: str,
        at: float,
        phase: str,
        kind: Kind,
        what: str,
        target: str | None,
        data: Mapping[str, Any],
    ) -> None:
        """Returns when the entry is on stable storage."""
        with self._transaction() as connection:
            self._insert(connection, move, at, phase, kind, what, target, data)

    def enter(self, move: str, at: float, phase: str, *, left: str, ended: bool, data: Mapping[str, Any]) -> None:
        """From phase `left` to `phase`. Raises JournalError when the move is not in `left` any more."""
        still = (_moves.c.id == move) & (_moves.c.phase == left) & _moves.c.ended.is_(False)
        with self._transaction() as connection:
            if connection.execute(_moves.update().where(still).values(phase=phase, ended=ended)).rowcount != 1:
                raise JournalError(f"{self._name}: somebody else has taken move {move} out of phase {left}")
            self._insert(connection, move, at, phase, Kind.PHASE, phase, None, data)

    def _insert(
        self,
        connection: sa.Connection,
        move: str,
        at: float,
        phase: str,
        kind: Kind,
        what: str,
        target: str | None,
        data: Mapping[str, Any],
    ) -> None:
        connection.execute(
            _entries.insert().values(
                move=move,
                at=at,
                phase=phase,
                kind=kind.value,
                what=what,
                target=target,
                data=json.dumps(dict(data)),
            )
        )

    def read(self, move: str) -> Record:
        """Raises NotFoundError with the nearest ids."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(_moves).where(_moves.c.id == move)).one_or_none()
            if row is None:
                raise NotFoundError("move", move, connection.scalars(sa.select(_moves.c.id)))
            entries = connection.execute(
                sa.select(_entries).where(_entries.c.move == move).order_by(_entries.c.id)
            ).all()
        return Record(
            plan=_plan(row.plan),
            uri=row.uri,
            phase=row.phase,
            ended=row.ended,
            entries=tuple(
                Entry(
                    at=e.at,
                    phase=e.phase,
                    kind=Kind(e.kind),
                    what=e.what,
                    target=e.target,
                    data=json.loads(e.data),
                )
                for e in entries
            ),
        )

    def open_moves(self, uri: str) -> tuple[str, ...]:
        """The ids of the moves on one libvirt daemon that have not ended, oldest first."""
        with self._transaction() as connection:
            rows = connection.scalars(
                sa.select(_moves.c.id).where(_moves.c.uri == uri, _moves.c.ended.is_(False)).order_by(_moves.c.created)
            )
            return tuple(rows)

    def open_move(self, uuid: str) -> str | None:
        """The id of the move that owns the domain."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(_moves.c.id).where(_moves.c.uuid == uuid, _moves.c.ended.is_(False)))

    def has_ended(self, move: str) -> bool:
        """Of a move that this journal knows; another journal's is not known to have."""
        with self._transaction() as connection:
            return bool(connection.scalar(sa.select(_moves.c.ended).where(_moves.c.id == move)))

    def past_rates(self) -> dict[tuple[str, str], float]:
        """Bytes per second between pools, as the newest move that measured a pair found it."""
        with self._transaction() as connection:
            rows = connection.scalars(
                sa.select(_entries.c.data).where(_entries.c.what == "rate").order_by(_entries.c.id.desc()).limit(200)
            )
            found: dict[tuple[str, str], float] = {}
            for data in map(json.loads, rows):
                found.setdefault((data["from"], data["to"]), data["rate"])
            return found

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.IntegrityError:
            raise
        except exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise JournalError(
                f"{self._name}: {cause}", remedy="check the file, its folder and the space there"
            ) from error


def _sqlite_durable(connection: Any, _record: Any) -> None:
    # WAL: one fsync a commit instead of three, which counts in the seconds around a cutover.
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _make_file(database: str | None) -> None:
    """The file is its owner's alone; its folder can be passed through, for QEMU's scratch files beside it."""
    if not database or database == ":memory:":
        raise JournalError("the journal must be a file", remedy="write sqlite:////path/to/journal.sqlite")
    try:
        Path(database).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalError(
            f"journal {database}: {error.strerror}",
            remedy="run svmove as root (sudo), or name another with --journal",
        ) from error


@cache
def _adapter() -> "TypeAdapter[Plan]":
    # Imported here: only what resumes a move pays the 100 ms.
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)


def _plan(text: str) -> Plan:
    return _adapter().validate_json(text)
