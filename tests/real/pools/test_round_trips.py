"""Of each kind of place one way there and back, with everything that `make test` has the time for."""

import pytest

from tests.real.pools.kinds import HOME, KINDS, Place, goes
from tests.real.pools.places import thin
from tests.real.world import GUEST, World


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("xfs", marks=pytest.mark.chosen),
        pytest.param("iscsi", marks=pytest.mark.chosen),
        pytest.param("rbd", marks=pytest.mark.chosen),
        "btrfs",
        "nbd",
        pytest.param("partition", marks=pytest.mark.chosen),
        "luks-raw",
    ],
)
def test_a_disk_goes_there_and_comes_back(guest: World, kind: str) -> None:
    with KINDS[HOME](guest) as at_home, KINDS[kind](guest) as place:
        there_and_back(guest, at_home, place)


def there_and_back(guest: World, at_home: Place, place: Place) -> None:
    try:
        goes(guest, Place(kind="home", disk=""), place)
    finally:
        words = ["--decrypt"] if place.locked else []
        result = guest.cli.move(GUEST, "--disk", at_home.disk, *words)
        assert result.code == 0, result.stdout
        if not place.thin:
            thin(guest, "vdb")
    guest.lab.check()
