"""What a PostgreSQL server, or the way to it, says → a JournalError with its remedy, without any secret."""

import sqlalchemy as sa
from sqlalchemy import exc

from svmove.errors import JournalError
from svmove.journal.database import LostError
from svmove.redact import redact

# Said by libpq, or by a server before there is a session, in English or not: the last remedy is for the others.
_REMEDIES = (
    (("password", "authentication", "pg_hba"), "give the password in a passfile (PGPASSFILE, ~/.pgpass) or a service"),
    (("does not exist",), "make it first: createdb NAME, createuser NAME"),
    (("certificate", "SSL"), "see sslmode and sslrootcert in the URL, or in a service"),
    (("too many", "remaining connection slots"), "raise max_connections: each svmove has one, also one that waits"),
    (("starting up", "shutting down"), "try again when it is up"),
)
_STATES = {
    "42501": "let that role make tables there: GRANT CREATE ON SCHEMA public TO ROLE",
    "25006": "that server is read-only: name the primary (target_session_attrs=read-write)",
    "53100": "make room on the server's disk",
    "55P03": "somebody holds a lock on the journal's tables for long: look into pg_locks",
}
# Said in a session that was there: the server is shut down, or has crashed, or the way to it is broken.
_GONE = ("08", "57P")


def journal_error(name: str, url: sa.URL, error: exc.SQLAlchemyError) -> JournalError:
    from psycopg import OperationalError

    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None)
    said = _without_secrets(" ".join(str(cause).split()), url)
    lost = isinstance(cause, OperationalError) and (state is None or state.startswith(_GONE))
    lost = lost or bool(getattr(error, "connection_invalidated", False))
    return (LostError if lost else JournalError)(f"{name}: {said}", remedy=_remedy(said, state))


def _remedy(said: str, state: str | None) -> str:
    if state in _STATES:
        return _STATES[state]
    for words, remedy in _REMEDIES:
        if any(word in said for word in words):
            return remedy
    return "see whether the server is up, and host and port are right"


def _without_secrets(text: str, url: sa.URL) -> str:
    secrets = [str(url.password)] if url.password is not None else []
    for key, value in url.query.items():
        if "pass" in key and key != "passfile":
            secrets += [value] if isinstance(value, str) else list(value)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return redact(text)
