"""What tests of several rooms need."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Started by the first test that needs it."""
    with server() as started:
        yield started
