"""A process of svmove's that outlives the terminal that began it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from svmove.errors import HostError

Process = subprocess.Popen[bytes]


def start(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Runs svmove in a session of its own; what it says goes to `log`. Raises HostError.

    `environment`: what is not for an argument list, which everybody may read (a URI can have a password in it).
    """
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"{log}: {error.strerror}") from error
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "svmove", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env={**os.environ, **environment},
            cwd="/",
        )
    except OSError as error:
        raise HostError(f"{sys.executable}: {error}") from error
    finally:
        os.close(descriptor)
