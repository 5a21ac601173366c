"""The journal in a database, through SQLAlchemy Core: a file of SQLite's, or PostgreSQL.

Invariants: a write that has returned survives a power cut; at most one move that has not ended exists per domain (a
unique index, so also between processes and hosts); a database of a newer schema is refused, never guessed at.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import tenacity
from sqlalchemy import exc

from svmove.errors import JournalError, NotFoundError, RefusedError
from svmove.fleet import DiskKey
from svmove.journal import history, schema
from svmove.journal.board import Board, Notice, notices
from svmove.journal.campaigns import Campaigns
from svmove.journal.database import Worker, idempotent
from svmove.journal.opening import open_database
from svmove.journal.records import Entry, Kind, Record, Summary
from svmove.journal.requests import Requests
from svmove.journal.samples import Samples
from svmove.journal.slots import Slots
from svmove.journal.sqlite import state_folder
from svmove.moves import Plan

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def default_url() -> str:
    return f"sqlite:///{state_folder() / 'journal.sqlite'}"


class Journal:
    """Raises JournalError when the database can't be opened, read or written, or is a newer svmove's.

    `host`: the name of this machine, for the others that share the journal.
    """

    def __init__(self, url: str, *, host: str | None = None) -> None:
        self.database = open_database(url, host or os.uname().nodename)
        self._transaction = self.database.transaction
        self._prepare()
        self.board = Board(self.database.hasty)
        self.requests = Requests(self.database)
        self.slots = Slots(self.database)
        self.samples = Samples(self._transaction)
        self.campaigns = Campaigns(self._transaction)

    @tenacity.retry(
        # Turning a new file to WAL fails at once, without SQLite's own waiting, while another first run does it too.
        retry=tenacity.retry_if_exception_message(match=".*database is locked"),
        stop=tenacity.stop_after_delay(30),
        wait=tenacity.wait_random(0.01, 0.1),
        reraise=True,
    )
    def _prepare(self) -> None:
        with self._transaction() as connection:
            if schema.is_current(connection):
                return  # who only looks needs no lock
        with self.database.exclusive() as connection:
            schema.prepare(connection, self.database.name)

    @property
    def folder(self) -> Path:
        """Where the files that belong to moves are kept, on this host."""
        return self.database.folder

    @property
    def host(self) -> str:
        return self.database.host

    def working_on(self, move: str) -> AbstractContextManager[None]:
        """Held while a process walks the move. Raises RefusedError when another process does, JournalError."""
        return self.database.working_on(move)

    def owner(self, move: str) -> Worker | None:
        """The process that works on the move. Raises JournalError."""
        return self.database.owner(move)

    def await_release(self, move: str) -> None:
        """Returns when nobody works on the move any more. Raises JournalError."""
        self.database.await_release(move)

    def close(self) -> None:
        self.database.close()

    @idempotent
    def begin(self, plan: Plan, uri: str, phase: str) -> Record:
        """Raises RefusedError, naming the other, when a move that has not ended owns the domain."""
        try:
            with self._transaction() as connection:
                connection.execute(schema.moves.insert().values(_row(plan, uri, phase)))
        except exc.IntegrityError:
            other = self.open_move(plan.uuid)
            if self.database.retrying and other == plan.move:
                return Record(plan=plan, uri=uri, phase=phase, ended=False, entries=())
            raise RefusedError(
                f"move {other} owns domain {plan.domain}",
                remedy=f"wait for it, or finish it: svmove resume {other}",
            ) from None
        return Record(plan=plan, uri=uri, phase=phase, ended=False, entries=())

    @idempotent
    def hand_over(self, move: str, at: float, *, left: str, ended_as: str, plan: Plan, uri: str, phase: str) -> Record:
        """Ends a move and begins another on the same domain, both or neither. Raises JournalError."""
        with self._transaction() as connection:
            if self._was_written(connection, move, at, Kind.PHASE, ended_as, None):
                return Record(plan=plan, uri=uri, phase=phase, ended=False, entries=())
            self._enter(connection, move, at, ended_as, left=left, ended=True, data={"to": plan.move})
            connection.execute(schema.moves.insert().values(_row(plan, uri, phase)))
        return Record(plan=plan, uri=uri, phase=phase, ended=False, entries=())

    @idempotent
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
            if not self._was_written(connection, move, at, kind, what, target):
                self._insert(connection, move, at, phase, kind, what, target, data)

    @idempotent
    def enter(self, move: str, at: float, phase: str, *, left: str, ended: bool, data: Mapping[str, Any]) -> None:
        """From phase `left` to `phase`. Raises JournalError when the move is not in `left` any more."""
        with self._transaction() as connection:
            if not self._was_written(connection, move, at, Kind.PHASE, phase, None):
                self._enter(connection, move, at, phase, left=left, ended=ended, data=data)

    def _enter(
        self, connection: sa.Connection, move: str, at: float, phase: str, *, left: str, ended: bool,
        data: Mapping[str, Any],
    ) -> None:  # fmt: skip
        still = (schema.moves.c.id == move) & (schema.moves.c.phase == left) & schema.moves.c.ended.is_(False)
        if connection.execute(schema.moves.update().where(still).values(phase=phase, ended=ended)).rowcount != 1:
            raise JournalError(f"{self.database.name}: somebody else has taken move {move} out of phase {left}")
        self._insert(connection, move, at, phase, Kind.PHASE, phase, None, data)

    def _was_written(
        self, connection: sa.Connection, move: str, at: float, kind: Kind, what: str, target: str | None
    ) -> bool:
        """Whether the server was lost just after it had written that. No clock tells the same time twice for it."""
        if not self.database.retrying:
            return False
        mine = schema.entries.c.move == move
        newest = sa.select(schema.entries).where(mine).order_by(schema.entries.c.id.desc()).limit(1)
        row = connection.execute(newest).one_or_none()
        return row is not None and (row.at, row.kind, row.what, row.target) == (at, kind.value, what, target)

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
            schema.entries.insert().values(
                move=move,
                at=at,
                phase=phase,
                kind=kind.value,
                what=what,
                target=target,
                data=json.dumps(dict(data)),
            )
        )

    @idempotent
    def read(self, move: str) -> Record:
        """Raises NotFoundError with the nearest ids."""
        with self._transaction() as connection:
            row = connection.execute(sa.select(schema.moves).where(schema.moves.c.id == move)).one_or_none()
            if row is None:
                raise NotFoundError("move", move, connection.scalars(sa.select(schema.moves.c.id)))
            entries = connection.execute(
                sa.select(schema.entries).where(schema.entries.c.move == move).order_by(schema.entries.c.id)
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

    @idempotent
    def moves(self, uri: str | None = None, *, ended: bool = False) -> tuple[Summary, ...]:
        """Oldest first: of one libvirt daemon or of all, with those that have ended or without."""
        wanted = sa.select(schema.moves).order_by(schema.moves.c.created, schema.moves.c.id)
        if uri is not None:
            wanted = wanted.where(schema.moves.c.uri == uri)
        if not ended:
            wanted = wanted.where(schema.moves.c.ended.is_(False))
        with self._transaction() as connection:
            return tuple(
                Summary(
                    move=row.id, uri=row.uri, uuid=row.uuid, domain=row.domain, phase=row.phase, ended=row.ended,
                    created=row.created,
                )
                for row in connection.execute(wanted)
            )  # fmt: skip

    def open_moves(self, uri: str) -> tuple[str, ...]:
        """The ids of the moves on one libvirt daemon that have not ended, oldest first."""
        return tuple(found.move for found in self.moves(uri))

    def notices(self) -> dict[str, Notice]:
        """The newest figures of each move that told any."""
        with self._transaction() as connection:
            return notices(connection)

    @idempotent
    def open_move(self, uuid: str) -> str | None:
        """The id of the move that owns the domain."""
        with self._transaction() as connection:
            return connection.scalar(
                sa.select(schema.moves.c.id).where(schema.moves.c.uuid == uuid, schema.moves.c.ended.is_(False))
            )

    @idempotent
    def has_ended(self, move: str) -> bool:
        """Of a move that this journal knows; another journal's is not known to have."""
        with self._transaction() as connection:
            return bool(connection.scalar(sa.select(schema.moves.c.ended).where(schema.moves.c.id == move)))

    @idempotent
    def past_rates(self) -> dict[tuple[str, str], float]:
        """Bytes per second between pools, as the newest move that measured a pair found it."""
        with self._transaction() as connection:
            rows = connection.scalars(
                sa.select(schema.entries.c.data)
                .where(schema.entries.c.what == "rate")
                .order_by(schema.entries.c.id.desc())
                .limit(200)
            )
            found: dict[tuple[str, str], float] = {}
            for data in map(json.loads, rows):
                found.setdefault((data["from"], data["to"]), data["rate"])
            return found

    def moved(self, uri: str, since: float, besides: Collection[str]) -> dict[DiskKey, float]:
        """By disk, when it was moved last (Unix time), but by moves whose phase is one of `besides`."""
        return history.moved(self._transaction, uri, since, besides)


def _row(plan: Plan, uri: str, phase: str) -> dict[str, Any]:
    return {
        "id": plan.move,
        "uri": uri,
        "uuid": plan.uuid,
        "domain": plan.domain,
        "phase": phase,
        "ended": False,
        "created": plan.created,
        "plan": json.dumps(dataclasses.asdict(plan)),
    }


@cache
def _adapter() -> "TypeAdapter[Plan]":
    # Imported here: only what resumes a move pays the 100 ms.
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)


def _plan(text: str) -> Plan:
    return _adapter().validate_json(text)
