"""Which database a journal's URL names."""

import sqlalchemy as sa
from sqlalchemy import exc

from svmove.errors import JournalError
from svmove.journal.database import Database
from svmove.journal.sqlite import SqliteDatabase
from svmove.redact import redact

_FORMS = "write sqlite:////path/to/journal.sqlite, or postgresql://user@host/database"
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


def open_database(url: str, host: str) -> Database:
    """Raises JournalError."""
    try:
        named = sa.make_url(url if "://" in url else f"sqlite:///{url}")
    except (exc.ArgumentError, ValueError) as error:
        raise JournalError(f"not a journal URL: {redact(url)!r}", remedy=_FORMS) from error
    if named.drivername == "sqlite":
        return SqliteDatabase(named, host)
    if named.drivername not in _POSTGRESQL:
        raise JournalError(f"not a journal URL: {redact(url)!r}", remedy=_FORMS)
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise JournalError(
            f"journal {redact(url)}: the driver for PostgreSQL is not there", remedy="pip install 'svmove[postgresql]'"
        ) from error
    from svmove.journal.postgres import PostgresDatabase  # what needs no server needs no driver either

    return PostgresDatabase(named, host)
