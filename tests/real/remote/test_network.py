"""The other host is another one: its loopback is not ours, and it does not see what svmove sees."""

from pathlib import Path

import pytest

from svmove.units import MiB
from tests.real.network import HERE, network
from tests.real.pools.nbd import nbd
from tests.real.world import World, disk


def test_what_listens_on_loopback_there_is_reached_from_there(world: World) -> None:
    path = world.image("off.img", "8M", "raw")
    world.guest("off", disk(path, format_="raw"), start=False)
    with nbd(world.network, world.folder / "nbd", 8 * MiB) as server:
        assert (world.network.listens(server.port), HERE.listens(server.port)) == (True, False)
        result = world.cli.move("off", "--disk", f"vda={server.uri('disk', tcp=True)}", "--overwrite")
    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout + result.stderr
    assert not path.exists()


def cables() -> set[str]:
    return {path.name for path in Path("/sys/class/net").glob("svmove-*")}


def test_of_a_test_that_fails_no_network_is_left() -> None:
    before, made = cables(), set[str]()

    def fails() -> None:
        with network() as cable:
            made.update(cables() - before)
            assert not cable.listens(22)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert made
    assert not made & cables()
