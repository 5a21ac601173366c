"""The lab as another host: reached by SSH, and only so."""

from collections.abc import Iterator

import pytest

from tests.real.conftest import another_host, clean
from tests.real.network import SSH
from tests.real.sshd import Server
from tests.real.world import Place, World


@pytest.fixture(scope="package")
def there(request: pytest.FixtureRequest) -> Iterator[Place]:
    if SSH:
        yield request.getfixturevalue("lab_place")
        return
    with another_host() as made:
        yield made


@pytest.fixture
def world(there: Place) -> Iterator[World]:
    with clean(there) as made:
        yield made


@pytest.fixture
def server(there: Place) -> Server:
    assert there.server is not None
    return there.server
