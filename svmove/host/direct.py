"""Whether QEMU can read and write what lies at a path past the page cache."""

import os

# QEMU takes this for the alignment of a file that begins with a hole, and aborts at an extent that is not (7.2:
# "Assertion `*pnum && QEMU_IS_ALIGNED(*pnum, align)' failed"): on ext4 of less than 512 MiB, with its blocks of 1 KiB.
_BLOCK = 4096


def takes(path: str) -> bool:
    """False: tmpfs, for one, takes no O_DIRECT before Linux 6.5."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.fstat(file).st_blksize % _BLOCK == 0
    finally:
        os.close(file)
