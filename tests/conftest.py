"""For all tests, and the processes that they start."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import Server, server


def pytest_configure() -> None:
    """No policy of this machine's: a bandwidth or a window of it would make other tests of these."""
    os.environ |= {"SVMOVE_ETC": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
    # What takes 7 ms has taken 252 on a busy machine; hypothesis calls 200 a failure.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Started by the first test that needs it."""
    with server() as started:
        yield started
