"""Who has a slot, and who waits for one: the tickets of the moves that processes work on.

Budgets are never exceeded by moves that begin, because each process decides in a transaction that excludes the
others'. A slot is held as long as a process works on the move: when it dies, by whatever, the slot is free.
"""

import json
import os
from collections.abc import Iterable

import sqlalchemy as sa

from svmove.budgets import Budgets, Place, Priority, Waits, read, written
from svmove.journal import schema
from svmove.journal.database import Database, idempotent
from svmove.journal.queue import Queue, Ticket, grant


class Slots:
    """Of the moves that this process works on, and for those who look on. Methods raise JournalError."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._held = set[str]()
        # What was asked for is looked after until it is left, also while it waits.
        self._asked: dict[str, Budgets] = {}

    def holds(self, move: str) -> bool:
        return move in self._held

    @idempotent
    def ask(self, move: str, priority: Priority, places: Iterable[Place], budgets: Budgets, at: float) -> Waits | None:
        """Takes the move's slots if they are free; why they are not otherwise, and then it is in the queue.

        To be called while this process works on the move. Who asked for them before keeps that time.
        """
        return self._enter(move, priority, tuple(places), budgets, at, seize=False)

    @idempotent
    def seize(self, move: str, priority: Priority, places: Iterable[Place], budgets: Budgets, at: float) -> None:
        """Takes them, free or not: of a move that can't wait."""
        self._enter(move, priority, tuple(places), budgets, at, seize=True)

    def _enter(
        self, move: str, priority: Priority, places: tuple[Place, ...], budgets: Budgets, at: float, *, seize: bool
    ) -> Waits | None:
        told = {
            "priority": priority,
            "places": json.dumps(written(places)),
            "holds": False,  # what a process had that is dead by now
            "host": self.database.host,
            "pid": os.getpid(),
            "since": at,
        }
        ours = schema.tickets.c.move == move
        with self.database.exclusive() as connection:
            known = move in self._asked
            if not known and connection.execute(schema.tickets.update().where(ours).values(told)).rowcount == 0:
                asked = self.database.now(connection, at)
                connection.execute(schema.tickets.insert().values({**told, "move": move, "asked": asked}))
            before = after = self._queue(connection, budgets)
            waits = None if seize else before.waiting.get(move)
            if waits is None:
                connection.execute(schema.tickets.update().where(ours).values(holds=True))
                after = self._queue(connection, budgets)
        self._asked[move] = budgets
        if waits is None:
            self._held.add(move)
        self._call(after.to_call(before), besides=move)
        return waits

    def leave(self, move: str) -> None:
        """Gives the move's slots, or its place in the queue, to whoever comes next. Idempotent."""
        self._held.discard(move)
        if (budgets := self._asked.pop(move, None)) is not None:
            self._leave(move, budgets)

    @idempotent
    def _leave(self, move: str, budgets: Budgets) -> None:
        with self.database.exclusive() as connection:
            before = self._queue(connection, budgets)
            connection.execute(schema.tickets.delete().where(schema.tickets.c.move == move))
            after = self._queue(connection, budgets)
        self._call(after.to_call(before), besides=move)

    @idempotent
    def waiting(self, budgets: Budgets) -> dict[str, Waits]:
        """Every move that waits, in the order of the queue. A move that is to begin within a moment is not in it."""
        with self.database.transaction() as connection:
            return dict(self._queue(connection, budgets).waiting)

    @idempotent
    def holders(self, places: Iterable[Place]) -> dict[Place, int]:
        """How many moves have a slot of each."""
        with self.database.transaction() as connection:
            tickets = self._tickets(connection)
        return {place: sum(ticket.holds and place in ticket.places for ticket in tickets) for place in places}

    @idempotent
    def processes(self, moves: Iterable[str]) -> frozenset[int]:
        """Those on this host that work on the moves."""
        with self.database.transaction() as connection:
            rows = connection.execute(sa.select(schema.tickets).where(schema.tickets.c.move.in_(tuple(moves))))
            return frozenset(row.pid for row in rows if row.host == self.database.host) - {os.getpid()}

    def _queue(self, connection: sa.Connection, budgets: Budgets) -> Queue:
        return grant(self._tickets(connection), budgets)

    def _tickets(self, connection: sa.Connection) -> list[Ticket]:
        """Of the moves that a process works on."""
        wanted = sa.select(schema.tickets).join(schema.moves).where(schema.moves.c.ended.is_(False))
        rows = connection.execute(wanted).all()
        alive = self.database.alive(connection, [row.move for row in rows])
        return [
            Ticket(
                move=row.move,
                priority=Priority(row.priority),
                asked=row.asked,
                places=read(json.loads(row.places)),
                holds=row.holds,
            )
            for row in rows
            if row.move in alive
        ]

    def _call(self, moves: Iterable[str], *, besides: str) -> None:
        for move in moves:
            if move != besides:
                self.database.ring(move)
