"""`qemu-img convert` of a part of an image: it has 16 requests under way at once, and writes in any order."""

import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

from svmove.errors import HostError
from svmove.host.command import last_line
from svmove.host.nodes import Nodes, Options, named

# Between two looks whether it is to go on (seconds).
_LOOK = 0.5


def convert(
    nodes: Nodes,
    source: Options,
    destination: Options,
    *,
    bandwidth: int | None,
    blank: bool,
    heed: Callable[[], None],
) -> None:
    """Brings an image, or a slice of one, that nobody writes into one of the same length that exists; both as QEMU
    block options, whose top is `raw`. `blank`: which has nothing there. What `heed`, called twice a second, raises ends
    it in its midst. Raises HostError."""
    argv = ["qemu-img", "convert", "-q", "-n", "-U", "-W", "-m", "16", *nodes.argv]
    argv += ["--target-is-zero"] if blank else []
    argv += ["-r", str(bandwidth)] if bandwidth is not None else []
    _run_heeding([*argv, named(source), named(destination)], nodes.inherited, heed)


def _run_heeding(argv: Sequence[str], inherited: Sequence[int], heed: Callable[[], None]) -> None:
    # It must not go on writing when svmove has been killed; and a Ctrl-C is for svmove, which has a way out.
    with_us = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    with subprocess.Popen(
        with_us,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
        pass_fds=inherited,
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    said = process.communicate(timeout=_LOOK)[1]
                    break
                heed()
        finally:
            process.kill()  # of one that has ended: nothing
    if process.returncode == -signal.SIGINT:
        # The Ctrl-C came when it had just been started, in our process group still: who is to stop is told by `heed`.
        _run_heeding(argv, inherited, heed)
    elif process.returncode != 0:
        raise HostError(f"{argv[0]} {argv[1]}: {last_line(said) or f'exit code {process.returncode}'}")
