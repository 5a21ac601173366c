from collections.abc import Iterator

import pytest

from tests.real.pools.places import home
from tests.real.world import World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make pools` runs all of them, `make test` those that are chosen. Likewise, of those that want a kernel with
    device-mapper and an NFS server, `make vagrant-pools` and `make vagrant-smoke`."""
    for item in items:
        if "tests/real/pools" in str(item.path) and item.get_closest_marker("chosen") is None:
            item.add_marker(pytest.mark.pool)


@pytest.fixture
def away(guest: World) -> Iterator[World]:
    """The guest's vdb comes home plain, however the test ends."""
    try:
        yield guest
    finally:
        home(guest, "vdb")
