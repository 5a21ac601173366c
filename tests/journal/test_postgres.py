"""What a server does that a file doesn't: it refuses, it is restarted, it loses sessions."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from svmove.errors import JournalError, RefusedError
from svmove.journal import Figures, Journal, Kind, postgres
from svmove.journal.database import LostError
from svmove.journal.postgres import PostgresDatabase
from tests.builders import MOVE, plan
from tests.postgres import Server, server

URI = "qemu:///system"


@pytest.fixture
def url(postgresql: Server) -> str:
    return postgresql.emptied()


@pytest.fixture
def restarted(postgresql: Server) -> Iterator[Server]:
    """A server that the test may end; it is there again afterwards."""
    yield postgresql
    if postgresql.process is None:
        postgresql.start()


def sessions(server: Server) -> list[int]:
    found = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'svmove %'")
    return [int(str(pid)) for (pid,) in found]


# What is refused


@pytest.mark.parametrize(
    ("url", "said", "remedy"),
    [
        ("postgresql://me:s3cret@127.0.0.1:1/j", "127.0.0.1", "server is up"),
        ("postgresql://me:s3cret@no.such.host.invalid/j", "no.such.host.invalid", "host and port"),
        ("postgresql://me@/j?host=/nowhere&password=s3cret", "/nowhere", "server is up"),
        ("postgresql:///j?service=no-such", "no-such", ""),
    ],
)
def test_a_server_that_is_not_there_is_told_without_the_password(url: str, said: str, remedy: str) -> None:
    with pytest.raises(JournalError) as caught:
        Journal(url)
    told = f"{caught.value.text} {caught.value.remedy}"
    assert said in told
    assert remedy in told
    assert "s3cret" not in told


def test_a_wrong_password_is_told_without_it(postgresql: Server) -> None:
    postgresql.sql("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'right-one'")
    with pytest.raises(JournalError, match="authentication failed") as caught:
        Journal(postgresql.url("postgres", "locked", "s3cret"))
    assert "passfile" in str(caught.value.remedy)
    assert "s3cret" not in f"{caught.value.text} {caught.value.remedy}"


def test_a_password_comes_from_a_passfile(postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    postgresql.emptied()
    postgresql.sql("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'right-one'")
    postgresql.sql("GRANT CREATE, USAGE ON SCHEMA public TO locked")
    passfile = tmp_path / "pass"
    passfile.write_text("*:*:*:locked:right-one\n")
    passfile.chmod(0o600)
    named = f"postgresql://locked@/postgres?host={postgresql.folder}&passfile={passfile}"
    journal = Journal(named)
    journal.begin(plan(), URI, "planned")
    assert journal.open_moves(URI) == (MOVE,)
    service = tmp_path / "services"
    service.write_text(f"[fleet]\nhost={postgresql.folder}\nuser=locked\ndbname=postgres\npassfile={passfile}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    assert Journal("postgresql:///?service=fleet").open_moves(URI) == (MOVE,)
    journal.close()
    postgresql.emptied()


def test_a_database_that_is_not_there_is_told_with_what_makes_one(postgresql: Server) -> None:
    with pytest.raises(JournalError, match='"nothing" does not exist') as caught:
        Journal(postgresql.url("nothing"))
    assert "createdb" in str(caught.value.remedy)


def test_a_role_that_may_not_make_tables_is_told(postgresql: Server, url: str) -> None:
    postgresql.sql("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA public TO guest")
    with pytest.raises(JournalError, match="permission denied") as caught:
        Journal(postgresql.url("postgres", "guest"))
    assert "GRANT CREATE" in str(caught.value.remedy)


def test_a_database_of_something_else_is_left_as_it_was(postgresql: Server, url: str) -> None:
    postgresql.sql("CREATE TABLE notes (text text)")
    with pytest.raises(JournalError, match="something else"):
        Journal(url)
    assert postgresql.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("notes",)]


def test_a_newer_schema_is_refused(postgresql: Server, url: str) -> None:
    Journal(url)
    postgresql.sql("UPDATE svmove_schema SET version = 99")
    with pytest.raises(JournalError, match="schema 99"):
        Journal(url)


def test_a_journal_of_schema_2_is_brought_up_to_date(postgresql: Server, url: str) -> None:
    Journal(url).begin(plan(), URI, "planned")
    postgresql.sql("DROP TABLE tickets, samples; UPDATE svmove_schema SET version = 2")
    assert Journal(url).slots.holders(()) == {}
    assert Journal(url).samples.read(URI, 0.0) == ()
    assert postgresql.sql("SELECT version FROM svmove_schema") == [(4,)]


def test_a_server_that_promises_nothing_is_refused() -> None:
    with server() as careless:
        careless.stop()
        with (careless.folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write("fsync = off\n")
        careless.start()
        with pytest.raises(JournalError, match="fsync"):
            Journal(careless.url("postgres"))


def test_a_commit_waits_for_the_disk_whatever_the_role_has(postgresql: Server, url: str) -> None:
    postgresql.sql("ALTER ROLE tester SET synchronous_commit = off")
    postgresql.sql("ALTER ROLE tester SET idle_session_timeout = '50ms'")
    try:
        journal = Journal(url)
        with journal.database.transaction() as connection:
            found = [
                connection.exec_driver_sql(f"SHOW {name}").scalar()
                for name in ("synchronous_commit", "idle_session_timeout")
            ]
        assert found == ["on", "0"]
    finally:
        postgresql.sql("ALTER ROLE tester RESET ALL")


def test_figures_do_not_wait_for_the_disk_and_need_no_second_session(postgresql: Server, url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    journal.board.tell(MOVE, 1.0, "copying", {"vda": Figures(done=1, end=2)})
    assert journal.notices()[MOVE].phase == "copying"
    assert len(sessions(postgresql)) == 1


# What is lost


def test_a_restarted_server_is_waited_for_and_nothing_is_written_twice(restarted: Server, url: str) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    restarted.stop()

    def claim() -> None:
        with journal.working_on("other"):
            pass

    thread = threading.Thread(target=claim)
    thread.start()
    time.sleep(0.5)
    restarted.start()
    thread.join(20)
    assert not thread.is_alive()
    restarted.stop(signal.SIGQUIT)
    restarted.start()
    journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {})
    restarted.stop()
    restarted.start()
    journal.enter(MOVE, 2.0, "admitted", left="planned", ended=False, data={})
    assert [entry.what for entry in journal.read(MOVE).entries] == ["mark", "admitted"]


def test_one_that_does_not_come_back_is_a_journal_error_with_a_remedy(
    restarted: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    restarted.stop()
    began = time.monotonic()
    journal.database.hurry()
    with pytest.raises(JournalError) as caught:
        journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {})
    assert 1 < time.monotonic() - began < 8
    assert "server is up" in str(caught.value.remedy)


@pytest.mark.parametrize("after", ["commit", "nothing"])
def test_a_write_whose_answer_was_lost_is_there_once(
    postgresql: Server, url: str, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """The session goes away with the write done, or not, and nobody tells which."""
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    lost: list[int] = []
    transaction = PostgresDatabase.transaction

    class Lossy:
        def __init__(self, inner: object) -> None:
            self.inner = inner

        def __enter__(self) -> object:
            if after == "nothing" and not lost:
                lost.append(1)
                raise LostError("before it was written")
            return self.inner.__enter__()  # type: ignore[attr-defined]

        def __exit__(self, *error: object) -> None:
            self.inner.__exit__(*error)  # type: ignore[attr-defined]
            if after == "commit" and not lost:
                lost.append(1)
                raise LostError("after it was written")

    monkeypatch.setattr(journal, "_transaction", lambda: Lossy(transaction(journal.database)))
    journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {"a": 1})
    lost.clear()
    journal.enter(MOVE, 2.0, "admitted", left="planned", ended=False, data={})
    lost.clear()
    journal.begin(plan(move="second", uuid="other"), URI, "planned")
    lost.clear()
    args = {"ended_as": "handed-over", "uri": URI, "phase": "planned"}
    journal.hand_over(MOVE, 3.0, left="admitted", plan=plan(move="back"), **args)
    assert [entry.what for entry in journal.read(MOVE).entries] == ["mark", "admitted", "handed-over"]
    assert journal.open_moves(URI) == ("back", "second")


def test_a_session_that_is_lost_has_its_claim_again_before_anything_is_written(postgresql: Server, url: str) -> None:
    journal, other = Journal(url), Journal(url)
    journal.begin(plan(), URI, "planned")
    with journal.working_on(MOVE):
        postgresql.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'svmove %'")
        journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {})
        found = other.owner(MOVE)
    assert found is not None
    assert found.pid == os.getpid()
    assert other.owner(MOVE) is None


def test_a_session_that_the_server_still_knows_is_ended_by_its_own_process(postgresql: Server, url: str) -> None:
    """The way to the server was broken, and it has not noticed yet."""
    journal = Journal(url)
    journal.begin(plan(), URI, "planned")
    with journal.working_on(MOVE):
        (old,) = sessions(postgresql)
        with journal.database.engine.connect() as connection:
            connection.detach()  # lives on, and nobody uses it
            journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {})
            assert old not in sessions(postgresql)
        assert journal.owner(MOVE) is not None


def test_whoever_has_lost_his_claim_to_another_writes_nothing_more(postgresql: Server, url: str) -> None:
    journal, other = Journal(url), Journal(url, host="elsewhere")
    journal.begin(plan(), URI, "planned")
    with journal.working_on(MOVE):
        ((found,),) = postgresql.sql("SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
        mine = int(str(found))
        postgresql.sql(f"SELECT pg_terminate_backend({mine})")
        while mine in sessions(postgresql):
            time.sleep(0.01)
        with other.working_on(MOVE):
            with pytest.raises(JournalError, match="another process works on move"):
                journal.write(MOVE, 1.0, "planned", Kind.INTENT, "mark", None, {})
            other.write(MOVE, 2.0, "planned", Kind.INTENT, "theirs", None, {})
    assert [entry.what for entry in other.read(MOVE).entries] == ["theirs"]


_HOLD = """
import sys, time
from svmove.journal import Journal
journal = Journal(sys.argv[1], host="far-away")
with journal.working_on("m1"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_of_another_host_s_process_the_host_is_told(url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        refused = pytest.raises(RefusedError, match=f"process {process.pid} on far-away works on")
        with refused, Journal(url).working_on("m1"):
            pass
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_has_just_started_counts_all_as_alive(
    postgresql: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(url)
    with journal.database.transaction() as connection:
        assert journal.database.alive(connection, ["m1"]) == frozenset()
        monkeypatch.setattr(postgres, "_GRACE", "1 day")
        assert journal.database.alive(connection, ["m1"]) == {"m1"}


def test_nothing_is_left_on_the_server_of_a_claim_that_was_given_back(postgresql: Server, url: str) -> None:
    journal = Journal(url)
    with journal.working_on("m1"):
        pass
    assert postgresql.sql("SELECT * FROM pg_locks WHERE locktype = 'advisory'") == []
    with journal.database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT pg_listening_channels()").all() == []
    assert isinstance(journal.database, PostgresDatabase)
    with psycopg.connect(url.replace("postgresql://", "postgresql://")) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)
