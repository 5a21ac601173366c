"""The journal, on a real SQLite file and on a real PostgreSQL server."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from svmove.errors import JournalError, NotFoundError, RefusedError
from svmove.journal import Journal, Kind, default_url
from svmove.moves import Finding, Level, Plan
from svmove.requests import Verify
from tests.builders import MOVE, UUID, disk_plan, plan, spec

URI = "qemu:///system"


def full_plan() -> Plan:
    """No field has its default, and names are what names can be."""
    return plan(
        domain="wéb '\"<&>;$\n",
        disks=(
            disk_plan(destination=spec(cluster_bytes=2**21, compat="1.1", extended_l2=True, lazy_refcounts=True)),
            disk_plan(target="vdb", pool_from=None, volume_from=None, bandwidth=2**50 + 1, delete_source=False),
        ),
        there=("vdc",),
        verify=Verify.NONE,
        granularity=4096,
        findings=(
            Finding(level=Level.WARN, code="x", text="t", remedy="r", target="vda"),
            Finding(level=Level.NOTE, code="y", text="u"),
        ),
        created=1_700_000_000.123456,
    )


def test_a_plan_comes_back_as_it_was(url: str) -> None:
    journal, expected = Journal(url), full_plan()
    begun = journal.begin(expected, URI, "planned")
    record = Journal(url).read(MOVE)
    assert expected == record.plan
    assert (record.uri, record.phase, record.ended, record.entries) == (URI, "planned", False, ())
    assert begun == record


def test_entries_come_back_in_order_with_their_data(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    data: dict[str, Any] = {"identity": "1:2", "n": 2**60, "x": None, "list": [1.5, {"a": "ü\n"}]}
    journal.write(MOVE, 1.5, "planned", Kind.INTENT, "create", "vda", data)
    journal.write(MOVE, 2.5, "planned", Kind.FACT, "created", "vda", {})
    journal.enter(MOVE, 3.5, "admitted", left="planned", ended=False, data={"why": "so"})
    found = journal.read(MOVE)
    assert [(e.at, e.phase, e.kind, e.what, e.target, e.data) for e in found.entries] == [
        (1.5, "planned", Kind.INTENT, "create", "vda", data),
        (2.5, "planned", Kind.FACT, "created", "vda", {}),
        (3.5, "admitted", Kind.PHASE, "admitted", None, {"why": "so"}),
    ]
    assert (found.phase, found.ended) == ("admitted", False)


def test_a_record_finds_the_newest_entry_of_a_target(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    for number, target in enumerate(("vda", "vdb", "vda", None)):
        journal.write(MOVE, float(number), "planned", Kind.FACT, "created", target, {"n": number})
    journal.write(MOVE, 9.0, "planned", Kind.INTENT, "created", "vda", {"n": 9})
    record = journal.read(MOVE)
    last = [record.last(Kind.FACT, "created", target) for target in ("vda", "vdb", None)]
    assert [entry and entry.data["n"] for entry in last] == [2, 1, 3]
    assert record.last(Kind.FACT, "created", "vdc") is None
    assert record.last(Kind.FACT, "removed", "vda") is None
    assert [entry.data["n"] for entry in record.all(Kind.FACT, "created")] == [0, 1, 2, 3]


def test_a_second_move_of_a_domain_is_refused_with_the_first_one_s_id(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    with pytest.raises(RefusedError) as caught:
        Journal(url).begin(plan(move="second"), URI, "planned")
    assert MOVE in caught.value.text
    assert f"svmove resume {MOVE}" in str(caught.value.remedy)
    with pytest.raises(NotFoundError):
        journal.read("second")


def test_another_domain_is_free(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    journal.begin(plan(move="second", uuid="other", created=plan().created + 1), URI, "planned")
    assert journal.open_moves(URI) == (MOVE, "second")
    assert journal.open_move("other") == "second"


def test_open_moves_are_the_oldest_first_and_of_one_daemon_only(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(move="late", uuid="a", created=2.0), URI, "planned")
    journal.begin(plan(move="early", uuid="b", created=1.0), URI, "planned")
    journal.begin(plan(move="elsewhere", uuid="c", created=0.0), "qemu+ssh://host/system", "planned")
    assert journal.open_moves(URI) == ("early", "late")


def test_a_move_that_has_ended_frees_its_domain(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    journal.enter(MOVE, 1.0, "held", left="planned", ended=False, data={})
    assert journal.open_move(UUID) == MOVE
    journal.enter(MOVE, 2.0, "done", left="held", ended=True, data={})
    assert journal.open_move(UUID) is None
    assert journal.open_moves(URI) == ()
    assert journal.read(MOVE).ended
    journal.begin(plan(move="second"), URI, "planned")
    assert journal.open_move(UUID) == "second"


def test_an_unknown_move_is_not_found_with_the_nearest_ids(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    with pytest.raises(NotFoundError) as caught:
        journal.read(MOVE[:-1] + "x")
    assert caught.value.code == "no-such-move"
    assert MOVE in str(caught.value.remedy)


def test_an_entry_of_an_unknown_move_is_refused(url: str) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        Journal(url).write("none", 1.0, "planned", Kind.FACT, "x", None, {})


def test_past_rates_are_those_of_the_newest_move_of_a_pair(url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    for from_, to, rate in (("a", "b", 1.0), ("a", "c", 2.0), ("a", "b", 3.0)):
        journal.write(MOVE, 1.0, "copying", Kind.FACT, "rate", "vda", {"from": from_, "to": to, "rate": rate})
    assert journal.past_rates() == {("a", "b"): 3.0, ("a", "c"): 2.0}


# Durability


def test_a_write_is_on_stable_storage_when_it_returns(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal.sqlite"))
    with journal.database.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_another_process_sees_a_write_at_once(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal.sqlite"))
    journal.begin(plan(), URI, "planned")
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        assert connection.execute("SELECT id, ended FROM moves").fetchall() == [(MOVE, 0)]
    connection.close()


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_the_file_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        journal = Journal(str(tmp_path / "state" / "journal.sqlite"))
        journal.begin(plan(), URI, "planned")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    # QEMU's user must get through to its scratch files, and need not list what lies there.
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) & 0o077 == 0o011


# What can't be used


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Journal(str(tmp_path / "journal.sqlite"))
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("UPDATE svmove_schema SET version = 5")
    connection.close()
    with pytest.raises(JournalError, match="schema 5") as caught:
        Journal(str(tmp_path / "journal.sqlite"))
    assert caught.value.remedy is not None


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_text("these are my notes\n" * 100)
    with pytest.raises(JournalError, match="not a database"):
        Journal(str(tmp_path / "journal.sqlite"))
    assert path.read_text().startswith("these are my notes\n")


def test_a_damaged_database_is_a_journal_error(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal.sqlite"))
    journal.begin(plan(), URI, "planned")
    journal.database.engine.dispose()
    for path in tmp_path.iterdir():
        if path.name != "journal.sqlite":
            path.unlink()
    content = (tmp_path / "journal.sqlite").read_bytes()
    (tmp_path / "journal.sqlite").write_bytes(content[:100] + b"\xa5" * (len(content) - 100))
    with pytest.raises(JournalError):
        Journal(str(tmp_path / "journal.sqlite")).read(MOVE)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://host/journal",
        "://",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+none://host/journal",
        "mysql://host/journal",
        "postgresql://host:port/journal",
        "",
    ],
)
def test_what_is_no_journal_is_told_with_a_remedy(url: str) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(url)
    assert "sqlite:////path" in str(caught.value.remedy)


@pytest.mark.parametrize("url", ["postgresql+none://me:secret@host/journal", "postgresql://me:secret@host:port/j"])
def test_a_password_in_a_url_that_is_none_is_not_shown(url: str) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(url)
    assert "secret" not in caught.value.text
    assert "host" in caught.value.text


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"File exists|Not a directory") as caught:
        Journal(str(tmp_path / "file" / "journal.sqlite"))
    assert "--journal" in str(caught.value.remedy)


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="Is a directory"):
        Journal(str(tmp_path))


def test_a_folder_that_is_read_only_is_told() -> None:
    # In /sys even root makes no file.
    with pytest.raises(JournalError, match=r"Permission denied|Read-only") as caught:
        Journal("/sys/journal.sqlite")
    assert "--journal" in str(caught.value.remedy)


def test_a_path_is_as_good_as_a_url(tmp_path: Path) -> None:
    Journal(str(tmp_path / "j")).begin(plan(), URI, "planned")
    assert Journal(f"sqlite:///{tmp_path}/j").open_moves(URI) == (MOVE,)
    assert Journal(str(tmp_path / "j")).folder == tmp_path


@pytest.mark.parametrize(
    ("home", "expected"), [("/state", "sqlite:////state/svmove/journal.sqlite"), (None, "sqlite:///")]
)
def test_the_default_is_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, home: str | None, expected: str) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("XDG_STATE_HOME", home)
    assert default_url().startswith(expected)
    assert default_url().endswith("/svmove/journal.sqlite")


# Several processes

_RACE = """
import sys
from svmove.errors import RefusedError
from svmove.journal import Journal
from tests.builders import plan
print("ready", flush=True)
sys.stdin.readline()
journal = Journal(sys.argv[1])
try:
    journal.begin(plan(move=sys.argv[2]), "qemu:///system", "planned")
    print("won")
except RefusedError as error:
    print("lost", error.text)
"""


@pytest.mark.parametrize("fresh", [False, True], ids=["there", "fresh"])
def test_of_processes_that_race_for_a_domain_exactly_one_wins(url: str, fresh: bool) -> None:
    if not fresh:
        Journal(url)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, url, f"racer-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(3)
    ]
    for racer in racers:  # all have imported what they need: now they run at once
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=60) for racer in racers]
    assert [error for _, error in said if error] == []
    outputs = sorted(output.split()[0] for output, _ in said)
    assert outputs == ["lost", "lost", "won"]
    winner = Journal(url).open_move(UUID)
    assert all(f"move {winner} owns" in output for output, _ in said if output.startswith("lost"))
