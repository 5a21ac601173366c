"""A PostgreSQL server of the tests' own: in a folder of theirs, behind a socket in it, ended with them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@dataclass(slots=True, kw_only=True)
class Server:
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str, user: str = "tester", password: str | None = None) -> str:
        secret = "" if password is None else f":{password}"
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def emptied(self) -> str:
        """The URL of a database with nothing in it: always the same one, since making one takes 0.2 s."""
        self.sql("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        return self.url("postgres")

    def sql(self, text: str, database: str = "postgres") -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        assert self.process is None
        command = [str(_BINARIES[-1] / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        # As many sessions as the largest test has; the journal insists on fsync.
        options = ["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "shared_buffers=32MB"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_unprivileged(), "setpriv", "--pdeathsig", "QUIT", *command, *options], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self, number: int = signal.SIGINT) -> None:
        """By default in order: all sessions are ended. SIGQUIT: as by a power cut of the server alone."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)
        self.process = None


@contextmanager
def server() -> Iterator[Server]:
    # A socket's path may have 107 bytes, and the server's user must get there.
    folder = Path(tempfile.mkdtemp(prefix="svmove-pg-", dir="/var/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, *_user())
        init = ["initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        done = subprocess.run(
            [*_unprivileged(), str(_BINARIES[-1] / init[0]), *init[1:]], capture_output=True, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr.decode()
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
        made = Server(folder=folder)
        made.start()
        try:
            yield made
        finally:
            if made.process is not None:
                made.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


def _user() -> tuple[int, int]:
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _unprivileged() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    user, group = _user()
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--"]
