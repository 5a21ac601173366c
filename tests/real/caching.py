"""How QEMU opens the writing guest's disk: the tests' are past the page cache."""

from collections.abc import Iterator
from contextlib import contextmanager

from lxml import etree

from tests.real.world import GUEST, World


@contextmanager
def through_the_page_cache(world: World) -> Iterator[None]:
    """The guest's vdb. It starts anew, and again afterwards."""
    _open(world, cache="writeback", io="threads")
    try:
        yield
    finally:
        _open(world, cache="none", io="native")


def _open(world: World, **how: str) -> None:
    with off(world):
        domain = etree.fromstring(world.virsh("dumpxml", GUEST, "--inactive").encode())
        (driver,) = domain.iterfind("devices/disk/target[@dev='vdb']/../driver")
        driver.attrib.update(how)
        world.virsh.define("define", domain)


@contextmanager
def off(world: World) -> Iterator[None]:
    """The guest starts anew afterwards."""
    world.virsh("destroy", GUEST)
    try:
        yield
    finally:
        world.start_guest()
