"""Journals of other versions: an older one is brought up to date, a newer one and a stranger's are refused."""

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest

from svmove.errors import JournalError, RefusedError
from svmove.journal import Ask, Figures, Journal, Kind
from tests.builders import MOVE, UUID, plan

URI = "qemu:///system"

# As version 0.1.0 made it.
_SCHEMA_1 = """
CREATE TABLE svmove_schema (version INTEGER NOT NULL);
CREATE TABLE moves (
    id TEXT NOT NULL, uri TEXT NOT NULL, uuid TEXT NOT NULL, domain TEXT NOT NULL, phase TEXT NOT NULL,
    ended BOOLEAN NOT NULL, created FLOAT NOT NULL, "plan" TEXT NOT NULL, PRIMARY KEY (id)
);
CREATE UNIQUE INDEX one_move_per_domain ON moves (uuid) WHERE ended IS 0;
CREATE TABLE entries (
    id INTEGER NOT NULL, move TEXT NOT NULL, at FLOAT NOT NULL, phase TEXT NOT NULL, kind TEXT NOT NULL,
    what TEXT NOT NULL, target TEXT, data TEXT NOT NULL, PRIMARY KEY (id), FOREIGN KEY(move) REFERENCES moves (id)
);
CREATE INDEX ix_entries_move ON entries (move);
INSERT INTO svmove_schema (version) VALUES (1);
"""


def older(folder: Path) -> Path:
    path = folder / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(_SCHEMA_1)
    row = (MOVE, URI, UUID, "web", "held", False, 1.0, json.dumps(asdict(plan())))
    connection.execute("INSERT INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    entry = (1, MOVE, 2.0, "held", "error", "mismatch", None, '{"text": "differ", "remedy": null}')
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", entry)
    connection.commit()
    connection.close()
    return path


def test_an_older_journal_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = older(tmp_path)
    journal = Journal(str(path))
    record = journal.read(MOVE)
    assert (record.plan, record.phase, [entry.what for entry in record.entries]) == (plan(), "held", ["mismatch"])
    journal.requests.add(MOVE, 3.0, Ask.CANCEL)
    journal.board.tell(MOVE, 3.0, "copying", {"vda": Figures(done=1, end=2, rate=3.0)})
    journal.write(MOVE, 4.0, "held", Kind.FACT, "decided", None, {})
    again = Journal(str(path))
    assert again.requests.has(MOVE, Ask.CANCEL)
    assert again.notices()[MOVE].disks == {"vda": Figures(done=1, end=2, rate=3.0)}
    assert [entry.what for entry in again.read(MOVE).entries] == ["mismatch", "decided"]


def test_the_old_index_goes_on_allowing_one_move_per_domain(tmp_path: Path) -> None:
    journal = Journal(str(older(tmp_path)))
    with pytest.raises(RefusedError, match=MOVE):
        journal.begin(plan(move="second"), URI, "planned")


def test_samples_and_campaigns_that_a_journal_of_schema_3_made_on_demand_are_kept(tmp_path: Path) -> None:
    Journal(str(tmp_path / "j"))
    connection = sqlite3.connect(tmp_path / "j")
    connection.executescript(
        "DROP TABLE samples; UPDATE svmove_schema SET version = 3;"
        "INSERT INTO campaigns (uri, pool, created, ended) VALUES ('qemu:///system', 'old', 1.0, 0);"
    )
    connection.commit()
    connection.close()
    journal = Journal(str(tmp_path / "j"))
    assert journal.campaigns.marked(URI) == {"old"}
    assert journal.samples.read(URI, 0.0) == ()


@pytest.mark.parametrize("version", [5, 99, 0, -1])
def test_a_version_that_is_not_known_is_refused_and_left_as_it_was(tmp_path: Path, version: int) -> None:
    path = older(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE svmove_schema SET version = ?", (version,))
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match=f"schema {version}"):
        Journal(str(path))
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert tables == {"svmove_schema", "moves", "entries"}


def test_a_database_of_something_else_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="something else"):
        Journal(str(path))


def test_a_locked_journal_can_still_be_read(tmp_path: Path) -> None:
    Journal(str(tmp_path / "j")).begin(plan(), URI, "planned")
    writer = sqlite3.connect(tmp_path / "j", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        assert Journal(str(tmp_path / "j")).read(MOVE).phase == "planned"
    finally:
        writer.close()


def test_figures_that_can_not_be_written_are_given_up_quietly(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"))
    journal.begin(plan(), URI, "planned")
    writer = sqlite3.connect(tmp_path / "j", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        journal.board.tell(MOVE, 1.0, "copying", {"vda": Figures(done=1, end=2)})
    finally:
        writer.close()
    assert journal.notices() == {}
    journal.board.tell(MOVE, 1.0, "copying", {"vda": Figures(done=1, end=2)})
    assert journal.notices()[MOVE].phase == "copying"


def test_what_was_asked_is_forgotten_when_it_is_withdrawn(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    assert not journal.requests.has(MOVE, Ask.CANCEL)
    journal.requests.add(MOVE, 1.0, Ask.CANCEL)
    assert journal.requests.has(MOVE, Ask.CANCEL)
    journal.requests.withdraw(MOVE, Ask.CANCEL)
    assert not journal.requests.has(MOVE, Ask.CANCEL)


def test_a_move_is_handed_over_whole_or_not_at_all(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "held")
    handed = {"ended_as": "handed-over", "uri": URI, "phase": "planned"}
    with pytest.raises(JournalError):
        journal.hand_over(MOVE, 1.0, left="copying", plan=plan(move="back"), **handed)
    assert [found.move for found in journal.moves(ended=True)] == [MOVE]
    journal.hand_over(MOVE, 1.0, left="held", plan=plan(move="back"), **handed)
    assert (journal.read(MOVE).ended, journal.open_move(UUID)) == (True, "back")
    assert journal.read(MOVE).entries[-1].data == {"to": "back"}
