"""Pools that are being emptied: the mark that keeps others out, and each guest that was begun for it."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from svmove.journal.schema import campaign_guests as guests
from svmove.journal.schema import campaigns

Transaction = Callable[[], AbstractContextManager[sa.Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A guest whose disks are on their way; `move` None: it was about to be begun when svmove died."""

    id: int
    uuid: str
    domain: str
    disks: Mapping[str, str]  # target → pool
    begun: float  # Unix time
    move: str | None
    state: str | None  # what became of it; None: not known yet


class Campaigns:
    """Raises JournalError."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def marked(self, uri: str) -> frozenset[str]:
        """The pools that are being emptied, or stay empty."""
        with self._transaction() as connection:
            wanted = sa.select(campaigns.c.pool).where(campaigns.c.uri == uri, campaigns.c.ended.is_(False))
            return frozenset(connection.scalars(wanted)) - {""}

    def open(self, uri: str, pool: str, now: float) -> int:
        """Its id: the one that has not ended, or a new one. `pool` "" keeps nobody out: what balances."""
        for _ in range(2):
            try:
                with self._transaction() as connection:
                    mine = (campaigns.c.uri == uri) & (campaigns.c.pool == pool) & campaigns.c.ended.is_(False)
                    if (found := connection.scalar(sa.select(campaigns.c.id).where(mine))) is not None:
                        return int(found)
                    row = campaigns.insert().values(uri=uri, pool=pool, created=now, ended=False)
                    return _key(connection.execute(row))
            except exc.IntegrityError:  # another process was quicker: then that one counts
                continue
        raise AssertionError("a campaign that is neither there nor can be made")

    def end(self, uri: str, pool: str) -> bool:
        """Takes the mark off: whether there was one."""
        mine = (campaigns.c.uri == uri) & (campaigns.c.pool == pool) & campaigns.c.ended.is_(False)
        with self._transaction() as connection:
            return bool(connection.execute(campaigns.update().where(mine).values(ended=True)).rowcount)

    def intend(self, campaign: int, uuid: str, domain: str, disks: Mapping[str, str], now: float) -> int:
        """Before a move is begun: its row."""
        with self._transaction() as connection:
            row = guests.insert().values(
                campaign=campaign, uuid=uuid, domain=domain, disks=json.dumps(dict(disks)), begun=now
            )
            return _key(connection.execute(row))

    def note(self, row: int, *, move: str | None, state: str | None) -> None:
        with self._transaction() as connection:
            connection.execute(guests.update().where(guests.c.id == row).values(move=move, state=state))

    def begun(self, campaign: int) -> tuple[Begun, ...]:
        """Oldest first."""
        with self._transaction() as connection:
            wanted = sa.select(guests).where(guests.c.campaign == campaign).order_by(guests.c.id)
            return tuple(
                Begun(
                    id=row.id,
                    uuid=row.uuid,
                    domain=row.domain,
                    disks=json.loads(row.disks),
                    begun=row.begun,
                    move=row.move,
                    state=row.state,
                )
                for row in connection.execute(wanted)
            )


def _key(made: sa.CursorResult[Any]) -> int:
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])
