"""What was moved lately: so that nothing is moved to and fro."""

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

import sqlalchemy as sa

from svmove.fleet import DiskKey
from svmove.journal import schema

Transaction = Callable[[], AbstractContextManager[sa.Connection]]


def moved(transaction: Transaction, uri: str, since: float, besides: Collection[str]) -> dict[DiskKey, float]:
    """By disk, when the newest move of it was planned (Unix time), but those whose phase is one of `besides`. Raises
    JournalError."""
    wanted = (
        sa.select(schema.moves.c.uuid, schema.moves.c.created, schema.moves.c.plan)
        .where(schema.moves.c.uri == uri, schema.moves.c.created >= since)
        .where(schema.moves.c.phase.not_in(besides))
        .order_by(schema.moves.c.created)
    )
    with transaction() as connection:
        rows = connection.execute(wanted).all()
    return {(row.uuid, disk["target"]): row.created for row in rows for disk in json.loads(row.plan)["disks"]}
