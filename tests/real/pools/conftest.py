import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make pools` runs all of them, `make test` those that are chosen."""
    for item in items:
        if "tests/real/pools" in str(item.path) and item.get_closest_marker("chosen") is None:
            item.add_marker(pytest.mark.pool)
