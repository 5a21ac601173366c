"""svmove as a process of its own, as a user has it, and what it answers."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svmove.lab import Lab
from tests.real.sshd import Server

# Seconds: no command of a test takes longer. A machine under TCG wants more than 120 to move 1 GiB into LUKS.
_HUNG = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def codes(self) -> list[str]:
        """Of the findings that refuse, and of the error."""
        error = self.document.get("error")
        found = [f["code"] for f in self.document["findings"] if f["level"] == "refuse"]
        return list(dict.fromkeys([*found, *([error["code"]] if error else [])]))


# As `sh -c` of a mount namespace: that folder is empty, and then the command.
_WITHOUT = 'mount -n -t tmpfs -o ro none "$1" && shift && exec "$@"'


class Cli:
    """With a journal of its own. Of another host it sees what SSH shows: the lab's own folder is empty to it."""

    def __init__(self, lab: Lab, server: Server | None, folder: Path) -> None:
        self.uri = lab.uri if server is None else server.uri()
        self.journal = folder / "journal.sqlite"
        self.scratch = folder / "scratch" if server is None else server.scratch  # as it is seen here
        without = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _WITHOUT, "svmove", str(lab.paths.root)]
        self.before = without if server is not None else []
        self._started: list[subprocess.Popen[str]] = []

    def argv(self, *words: str, uri: str | None = None) -> list[str]:
        program = str(Path(sys.executable).with_name("svmove"))
        return [*self.before, program, "--connect", uri or self.uri, "--journal", str(self.journal), *words]

    def __call__(self, *words: str, uri: str | None = None) -> Result:
        done = subprocess.run(
            self.argv(*words, uri=uri),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_HUNG,
            check=False,
        )
        return Result(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def move(self, *words: str) -> Result:
        return self("move", *words, "--json")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            self.argv(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Whatever a test that failed left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def finished(process: "subprocess.Popen[str]") -> Result:
    out, err = process.communicate(timeout=_HUNG)
    return Result(code=process.returncode, stdout=out, stderr=err)
