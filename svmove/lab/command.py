"""Commands as argument lists, and virsh: the lab speaks to its daemon as a person would."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from svmove.lab.errors import LabError

# A root shell without a login often lacks the sbin directories, where libvirtd and qemu-ga live.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
ENVIRONMENT = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}


def find(name: str) -> Path | None:
    found = shutil.which(name, path=_PATH)
    return Path(found) if found else None


def run(argv: Sequence[str | Path], *, timeout: float = 120.0, cwd: Path | None = None) -> str:
    """Standard output. Raises LabError when the command can't be run, fails, or takes over `timeout` s."""
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=ENVIRONMENT,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed", remedy="run scripts/bootstrap") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise LabError(f"{' '.join(str(word) for word in argv[:8])}: {said}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Virsh:
    """One daemon. A call costs 20 to 30 ms, most of it virsh's start."""

    uri: str

    def __call__(self, *words: str | Path, timeout: float = 120.0) -> str:
        """Raises LabError with virsh's own words."""
        return run(["virsh", "-q", "-c", self.uri, *words], timeout=timeout).strip()

    def define(self, verb: str, element: etree._Element, *pool: str) -> None:
        """`verb` (define, pool-define, vol-create) with the XML, which virsh only takes as a file."""
        with tempfile.NamedTemporaryFile(suffix=".xml") as file:
            file.write(etree.tostring(element))
            file.flush()
            self(verb, *pool, file.name)

    def names(self, *words: str) -> list[str]:
        return [line.strip() for line in self(*words, "--name").splitlines() if line.strip()]

    def answers(self, *, timeout: float = 10.0) -> bool:
        try:
            self("uri", timeout=timeout)
        except LabError:
            return False
        return True
