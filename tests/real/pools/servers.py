"""Processes that serve storage: started on ports that are free, ended with the test, and with whoever runs it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from svmove.lab.command import ENVIRONMENT
from tests.real.network import Network
from tests.real.world import until

# A server must not outlive a pytest that was killed.
_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def free_port(network: Network) -> int:
    """Of loopback. Below what the kernel itself gives to outgoing connections, so that none takes it meanwhile."""
    ports = range(20000 + os.getpid() * 7 % 9000, 32000)
    return next(port for port in ports if not network.listens(port))


@contextmanager
def served(
    network: Network,
    argv: Sequence[str | Path],
    ready: Callable[[], bool],
    log: Path,
    *,
    end: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    within: float = 30.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, `ready` in `within` seconds at most; `log` has what it says. It may end early."""
    words = network.words(argv)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*_WITH_US, *words],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**ENVIRONMENT, **(environment or {})},
        )  # fmt: skip

    def up() -> bool:
        assert process.poll() is None, f"{argv[0]} ended by itself: {log.read_text(errors='replace')[-800:]}"
        return ready()

    try:
        until(up, f"{argv[0]} is ready", within)
        yield process
    finally:
        ended(process, end)


def ended(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(by)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    if process.poll() is None:
        process.kill()
    process.wait()
