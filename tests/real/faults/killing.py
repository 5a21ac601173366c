"""svmove as a process that kills itself, by SIGKILL, before or after one call of a move.

python -m tests.real.faults.killing CALL NUMBER before|after WORDS...
"""

import os
import signal
import sys
from typing import Any

from svmove import addresses
from svmove.cli.main import run
from svmove.host.local import LocalHost
from svmove.host.remote import host as remote
from svmove.journal import Journal
from svmove.virt.hypervisor import LibvirtHypervisor


def arm(call: str, number: int, when: str, words: list[str]) -> None:
    """The NUMBER-th call of that name, counted from 1, is the last thing that this process does. One that failed does
    not count: it is made again."""
    owner: Any = next(owner for owner in (Journal, LibvirtHypervisor, LocalHost) if hasattr(owner, call))
    real, process, calls = getattr(owner, call), os.getpid(), 0
    if owner is LocalHost and any(addresses.is_remote(word) for word in words):
        owner = remote._RemoteHost
        real = getattr(owner, call, lambda host, *args, **kwargs: host._call(call, *args, **kwargs))

    def last(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        ours = os.getpid() == process and calls + 1 == number  # not in the guard, which outlives us
        if ours and when == "before":
            os.kill(process, signal.SIGKILL)
        result = real(*args, **kwargs)
        if ours:
            os.kill(process, signal.SIGKILL)
        calls += 1
        return result

    setattr(owner, call, last)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    sys.exit(run(sys.argv[4:]))
