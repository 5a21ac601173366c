"""Whether what lies at a path can be read and written past the page cache."""

import os


def takes(path: str) -> bool:
    """tmpfs, for one, takes no O_DIRECT before Linux 6.5."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True
