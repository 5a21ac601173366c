"""Every test of the journal that takes `url` runs on a file of SQLite's and on a PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from svmove.journal import postgres, store
from svmove.journal.database import Database
from svmove.journal.opening import open_database
from tests.postgres import Server


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a host keeps beside a journal on a server is the test's own; and that server counts as one that has been up
    for long."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(postgres, "_GRACE", "0 seconds")


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Journals that the test has opened."""
    opened: list[Database] = []

    def opening(url: str, host: str) -> Database:
        opened.append(open_database(url, host))
        return opened[-1]

    monkeypatch.setattr(store, "open_database", opening)
    yield
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite"
    started: Server = request.getfixturevalue("postgresql")
    return started.emptied()
