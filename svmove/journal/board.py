"""The board: the newest figures of each move, for whoever looks on from another process.

They may be lost, so they are written without waiting for the disk; a later durable write takes them along.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from svmove.errors import JournalError
from svmove.journal import schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one disk, in bytes and bytes per second; `rate` over the last seconds, None while not known."""

    done: int
    end: int
    rate: float | None = None
    seconds: float | None = None  # until it is ready, as was predicted
    converges: bool | None = None  # False: never ready as it goes; None: not known

    @property
    def remaining(self) -> float | None:
        """Seconds, as it goes now; None for one that never ends, too."""
        if self.converges is False:
            return None
        if self.seconds is not None:
            return self.seconds
        return (self.end - self.done) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The newest figures: when they were written (Unix time), in which phase, by disk."""

    at: float
    phase: str
    disks: Mapping[str, Figures]


class Board:
    """`begin`: a transaction that waits for nothing (`Database.hasty`)."""

    def __init__(self, begin: Callable[[], AbstractContextManager[sa.Connection]]) -> None:
        self._begin = begin

    def tell(self, move: str, at: float, phase: str, disks: Mapping[str, Figures]) -> None:
        """Never raises for a journal that can't be written: the move finds that out by itself."""
        figures = {target: [f.done, f.end, f.rate, f.seconds, f.converges] for target, f in disks.items()}
        row = {"move": move, "at": at, "phase": phase, "data": json.dumps(figures)}
        with suppress(exc.SQLAlchemyError, JournalError), self._begin() as connection:
            connection.execute(schema.progress.delete().where(schema.progress.c.move == move))
            connection.execute(schema.progress.insert().values(row))


def notices(connection: sa.Connection) -> dict[str, Notice]:
    """By move."""
    return {row.move: _notice(row) for row in connection.execute(sa.select(schema.progress))}


def _notice(row: Any) -> Notice:
    names = ("done", "end", "rate", "seconds", "converges")  # an older svmove writes fewer
    found = {target: Figures(**dict(zip(names, told, strict=False))) for target, told in json.loads(row.data).items()}
    return Notice(at=row.at, phase=row.phase, disks=found)
