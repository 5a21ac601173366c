"""For all tests, and the processes that they start."""

import os


def pytest_configure() -> None:
    """No policy of this machine's: a bandwidth or a window of it would make other tests of these."""
    os.environ |= {"SVMOVE_ETC": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
