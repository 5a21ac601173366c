"""`qemu-img convert` of a part of an image: it has 16 requests under way at once, and writes in any order.

And what else a copy asks of QEMU."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from svmove.errors import HostError
from svmove.host.command import last_line
from svmove.host.nodes import Nodes, Options

# Between two looks whether it is to go on (seconds).
_LOOK = 0.5


def convert(
    nodes: Nodes,
    source: Options,
    destination: Options,
    *,
    bandwidth: int | None,
    blank: bool,
    flushed: bool = False,
    heed: Callable[[], None],
) -> None:
    """Brings an image, or a slice of one, that nobody writes into one of the same length that exists; both as QEMU
    block options, whose top is `raw`. `blank`: which has nothing there. `flushed`: at its end, where there is no file
    that could be flushed here. What `heed`, called twice a second, raises ends it in its midst. Raises HostError."""
    argv = ["qemu-img", "convert", "-q", "-n", "-U", "-W", "-m", "16"]
    argv += ["--target-is-zero"] if blank else []
    argv += ["-t", "writeback"] if flushed else []
    argv += ["-r", str(bandwidth)] if bandwidth is not None else []
    run_heeding(nodes.command(argv, source, destination), nodes.inherited, heed)


def flush(nodes: Nodes, image: Options, path: str, heed: Callable[[], None]) -> None:
    """What was written to the storage of `path` is on stable storage. Raises HostError, and what `heed` raises.

    A process of its own, since `qemu-img convert` flushes when it closes the image, and does not tell how that went."""
    try:
        run_heeding(nodes.command(["qemu-io", "-c", "flush"], image), nodes.inherited, heed)
    except HostError as error:
        raise HostError(f"{path}: what was written can't be brought to stable storage: {error.text}") from error


def opens_in(nodes: Nodes, image: Options, heed: Callable[[], None]) -> float:
    """Seconds that it takes to open an image and to read of it. Raises HostError, also when its key does not fit; and
    what `heed` raises, as `convert`."""
    began = time.monotonic()
    look = nodes.command(["qemu-io", "-r", "-U", "-c", "read -q 0 512"], image)
    run_heeding(look, nodes.inherited, heed)
    return time.monotonic() - began


def not_zero(nodes: Nodes, image: Options, heed: Callable[[], None]) -> list[tuple[int, int]]:
    """What is not known to be zeros in an image: offset, length. Raises HostError, and what `heed` raises."""
    look = nodes.command(["qemu-img", "map", "--output=json", "-U"], image)
    found = json.loads(run_heeding(look, nodes.inherited, heed))
    return [(extent["start"], extent["length"]) for extent in found if not extent["zero"]]


def run_heeding(argv: Sequence[str], inherited: Sequence[int], heed: Callable[[], None]) -> str:
    """Its standard output. Raises HostError, and what `heed`, called twice a second, raises."""
    # It must not go on writing when svmove has been killed; and a Ctrl-C is for svmove, which has a way out.
    with_us = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    with subprocess.Popen(
        with_us,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
        pass_fds=inherited,
    ) as process:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    out, said = process.communicate(timeout=_LOOK)
                    break
                heed()
        finally:
            process.kill()  # of one that has ended: nothing
    if process.returncode == -signal.SIGINT:
        # The Ctrl-C came when it had just been started, in our process group still: who is to stop is told by `heed`.
        return run_heeding(argv, inherited, heed)
    if process.returncode != 0:
        raise HostError(f"{argv[0]} {argv[1]}: {last_line(said) or f'exit code {process.returncode}'}")
    return out
