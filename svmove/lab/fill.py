"""Random data for a guest's disks, fast: past the page cache where the file system can (640 MiB in 1 s)."""

import mmap
import os
import random
import tempfile
from pathlib import Path

from svmove.lab.specs import DiskSpec
from svmove.units import MiB

_CHUNK = 8 * MiB
_BLOCK = 4096


def write(path: Path, disk: DiskSpec, *, direct: bool) -> None:
    """Fills the extents of `disk` in the raw file `path`; two labs have the same bytes. Raises OSError."""
    # Incompressible is what it must be. One chunk is drawn (Python makes 210 MiB/s), and each further one is
    # it turned by another number of blocks, so that a block that ends up in the wrong place shows.
    drawn = random.Random(f"svmove-lab {disk.target}").randbytes(_CHUNK)  # noqa: S311
    turn = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | (os.O_DIRECT if direct else 0))
    try:
        # O_DIRECT wants aligned memory: a mapping starts on a page.
        with mmap.mmap(-1, _CHUNK) as buffer, memoryview(buffer) as view:
            for offset, length in disk.extents:
                for start in range(offset, offset + length, _CHUNK):
                    turn = (turn + 37 * _BLOCK) % _CHUNK
                    view[:] = drawn[turn:] + drawn[:turn]
                    with view[: min(_CHUNK, offset + length - start)] as part:
                        os.pwritev(descriptor, [part], start)
    finally:
        os.close(descriptor)


def supports_direct(directory: Path) -> bool:
    """Whether O_DIRECT works there: it does not on some overlays and older tmpfs."""
    with tempfile.NamedTemporaryFile(prefix=".direct-", dir=directory) as probe:
        try:
            os.close(os.open(probe.name, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC))
        except OSError:
            return False
    return True
