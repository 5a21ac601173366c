"""What other processes ask of the one that works on a move, now or later: durable, so that a resume finds it."""

import json
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from svmove.journal import schema
from svmove.journal.database import Database, idempotent


class Ask(StrEnum):
    CANCEL = "cancel"  # go back to the source, as by Ctrl-C; too late from the cutover on
    CHANGE = "change"  # other terms (`svmove.moves.Terms`); what is not named stays


class Requests:
    """Methods raise JournalError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @idempotent
    def add(self, /, move: str, at: float, what: Ask, **data: Any) -> None:
        """Durable when it returns. Who waits for the move's turn is woken. Twice the same is as good as once."""
        row = {"move": move, "at": at, "what": what.value, "data": json.dumps(data)}
        with self.database.transaction() as connection:
            connection.execute(schema.requests.insert().values(row))
        self.database.ring(move)

    @idempotent
    def has(self, move: str, what: Ask) -> bool:
        with self.database.transaction() as connection:
            return connection.scalar(sa.select(schema.requests.c.id).where(_of(move, what)).limit(1)) is not None

    @idempotent
    def changes(self, move: str) -> dict[str, Any]:
        """The terms that were asked for since the move was planned, by name; the newest of each."""
        wanted = sa.select(schema.requests.c.data).where(_of(move, Ask.CHANGE)).order_by(schema.requests.c.id)
        found: dict[str, Any] = {}
        with self.database.transaction() as connection:
            for text in connection.scalars(wanted):
                found |= json.loads(text)
        return found

    @idempotent
    def withdraw(self, move: str, what: Ask) -> None:
        """Forgets what was asked: a person has decided anew."""
        with self.database.transaction() as connection:
            connection.execute(schema.requests.delete().where(_of(move, what)))


def _of(move: str, what: Ask) -> sa.ColumnElement[bool]:
    return (schema.requests.c.move == move) & (schema.requests.c.what == what.value)
