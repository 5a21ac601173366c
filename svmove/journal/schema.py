"""The tables of the journal, how a file of SQLite's is opened, and how an older one is brought up to date.

Compatibility: a newer svmove migrates an older journal, in one transaction, when it first opens it. An older
svmove refuses a newer journal, and says so: what it does not know it could not keep.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from svmove.errors import JournalError

SCHEMA = 4

metadata = sa.MetaData()
version = sa.Table("svmove_schema", metadata, sa.Column("version", sa.Integer, nullable=False))
moves = sa.Table(
    "moves",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("uuid", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
)
_open = moves.c.ended.is_(False)
one_per_domain = sa.Index("one_move_per_domain", moves.c.uuid, unique=True, sqlite_where=_open, postgresql_where=_open)
entries = sa.Table(
    "entries",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("move", sa.ForeignKey("moves.id"), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("target", sa.Text),
    sa.Column("data", sa.Text, nullable=False),
)
# What other processes ask of the one that works on a move. Since schema 2.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("move", sa.ForeignKey("moves.id"), nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
# The newest figures of a move under way, for whoever looks on. May be lost. Since schema 2.
progress = sa.Table(
    "progress",
    metadata,
    sa.Column("move", sa.ForeignKey("moves.id"), primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
# What a move needs of hosts and pools, and whether it has it; while a process works on the move. Since schema 3.
tickets = sa.Table(
    "tickets",
    metadata,
    sa.Column("move", sa.ForeignKey("moves.id"), primary_key=True),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("asked", sa.Float, nullable=False),  # for the first time
    sa.Column("places", sa.Text, nullable=False),
    sa.Column("holds", sa.Boolean, nullable=False),
    # The process that works on the move, and since when.
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
)
# Of all disks' counters, by which pools are balanced: one row a sample, which may be lost. Of 10,000 disks a row is
# 0.2 MB; as columns, a day of samples each 5 minutes would be 3 million rows. Since schema 4.
samples = sa.Table(
    "samples",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
# Pools that are being emptied: the mark that keeps others out. Since schema 4.
campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("ended", sa.Boolean, nullable=False),
)
_lasts = campaigns.c.ended.is_(False)
one_campaign_per_pool = sa.Index(
    "one_campaign_per_pool",
    campaigns.c.uri,
    campaigns.c.pool,
    unique=True,
    sqlite_where=_lasts,
    postgresql_where=_lasts,
)
# Each guest that was begun for one. What is still to be moved is not recorded: that is looked at, each time.
campaign_guests = sa.Table(
    "campaign_guests",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("campaign", sa.ForeignKey("campaigns.id"), nullable=False, index=True),
    sa.Column("uuid", sa.Text, nullable=False),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("disks", sa.Text, nullable=False),
    sa.Column("begun", sa.Float, nullable=False),
    sa.Column("move", sa.Text),
    sa.Column("state", sa.Text),
)


def _to_2(connection: sa.Connection) -> None:
    metadata.create_all(connection, tables=[requests, progress])


def _to_3(connection: sa.Connection) -> None:
    metadata.create_all(connection, tables=[tickets])


def _to_4(connection: sa.Connection) -> None:
    metadata.create_all(connection, tables=[samples, campaigns, campaign_guests])


# From which version → what makes the next one of it.
_MIGRATIONS: dict[int, Callable[[sa.Connection], None]] = {1: _to_2, 2: _to_3, 3: _to_4}


def prepare(connection: sa.Connection, name: str) -> None:
    """Makes the tables of a new journal, or brings an older one up to date.

    To be called in a transaction that has the write lock: of two first runs at once, the second must not look
    before the first has made all tables. Raises JournalError for a newer journal, and for a database of others.
    """
    tables = sa.inspect(connection).get_table_names()
    if version.name not in tables:
        if tables:
            raise JournalError(f"{name}: a database of something else ({tables[0]})", remedy="name another one")
        metadata.create_all(connection)
        connection.execute(version.insert().values(version=SCHEMA))
        return
    found = connection.scalar(sa.select(version.c.version))
    if found is None or found > SCHEMA or (found < SCHEMA and found not in _MIGRATIONS):
        raise JournalError(
            f"{name}: schema {found}, but this svmove knows {SCHEMA}", remedy="use the svmove that wrote it, or a newer"
        )
    while found < SCHEMA:
        _MIGRATIONS[found](connection)
        found += 1
        connection.execute(version.update().values(version=found))


def is_current(connection: sa.Connection) -> bool:
    if not sa.inspect(connection).has_table(version.name):
        return False
    return bool(connection.scalar(sa.select(version.c.version)) == SCHEMA)


def durable(connection: Any, _record: Any) -> None:
    # 30 s: twenty svmoves at once on a slow disk wait for one another. No write is made while a guest stands still.
    # WAL: one fsync a commit instead of three, which counts in the seconds around a cutover.
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def hasty(connection: Any, _record: Any) -> None:
    # Not synchronous: a power cut may take the last figures, and nothing else (the WAL stays in order).
    for pragma in ("busy_timeout=50", "synchronous=OFF", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def make_folder(folder: Path) -> None:
    """It can be passed through, for QEMU's scratch files in it. Raises JournalError."""
    try:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"folder {folder}: {error.strerror}",
            remedy="run svmove as root (sudo), or name another journal with --journal",
        ) from error


def make_file(database: str | None) -> None:
    """The file is its owner's alone. Raises JournalError."""
    if not database or database == ":memory:":
        raise JournalError("the journal must be a file", remedy="write sqlite:////path/to/journal.sqlite")
    make_folder(Path(database).parent)
    try:
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalError(
            f"journal {database}: {error.strerror}",
            remedy="run svmove as root (sudo), or name another with --journal",
        ) from error
