"""`qemu-img compare`, heeded while it runs: a reader whose storage hangs is ended, and not waited for."""

import os
import select
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from svmove.errors import HostError, UnverifiedError
from svmove.host import command
from svmove.host.nodes import Nodes

# Between two looks whether it is to go on, when it says nothing.
_LOOK = 0.25
# A process that hangs in the kernel (NFS) can't be killed; longer than this it is not waited for.
_ENDS = 2.0


def compare_images(
    source: dict[str, Any],
    exported: dict[str, Any],
    length: int,
    advanced: Callable[[int], bool],
    *,
    shared: bool = False,
    nodes: Nodes | None = None,
) -> int | None:
    """The offset of the first difference of two images of `length` bytes, given as QEMU block options.

    `qemu-img compare` exits with 0 for equal, 1 for different, more for an error, and prints its progress
    as "(12.50/100%)" with carriage returns. `advanced` is called four times a second at least.

    Raises:
        HostError: it can't be run, or could not read one of the images.
        UnverifiedError: `advanced` returned False.
    """
    nodes = nodes or Nodes()
    argv = nodes.command(["qemu-img", "compare", *(["-U"] if shared else []), "-p"], source, exported)
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=nodes.inherited,
    )
    output, errors = process.stdout, process.stderr
    assert output is not None
    assert errors is not None
    seen, said = 0, ""
    try:
        while True:
            ready, _, _ = select.select([output], [], [], _LOOK)
            chunk = os.read(output.fileno(), 4096) if ready else None
            said = (said + (chunk or b"").decode(errors="replace"))[-4096:]
            part = said.rpartition("/100%)")[0].rpartition("(")[2]
            now = min(int(length * float(part) / 100), length) if _is_number(part) else seen
            if not advanced(now - seen):
                raise UnverifiedError("the verification was stopped")
            seen = now
            if chunk == b"":
                break
        code = process.wait()
        if code == 0:
            advanced(length - seen)
            return None
        offset = said.partition("Content mismatch at offset ")[2].partition("!")[0]
        if code == 1 and offset.isdigit():
            return int(offset)
        why = command.last_line(errors.read().decode(errors="replace"))
        raise HostError(f"qemu-img compare: {why or f'exit code {code}'}")
    finally:
        process.kill()  # of one that has ended: nothing
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS)
        if process.returncode is None:
            command.abandon(process)
        output.close()
        errors.close()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
