"""Volumes encrypted with LUKS, made by libvirt with a secret of its store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lxml import etree
from lxml.builder import E
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from svmove.lab.errors import LabError
from svmove.retries import UNMEASURED
from tests.real.pools.secrets import secret
from tests.real.world import World


def encryption(uuid: str) -> etree._Element:
    return E.encryption(E.secret(type="passphrase", uuid=uuid), format="luks")


def source(path: Path, uuid: str) -> etree._Element:
    """Of a disk of type file."""
    return E.source(encryption(uuid), file=str(path))


@contextmanager
def passphrase(world: World, usage: str, value: bytes = b"correct horse battery staple") -> Iterator[str]:
    """The uuid of a secret for volumes."""
    with secret(world, value, "volume", usage) as uuid:
        yield uuid


def volume(world: World, name: str, size: int, uuid: str, format_: str = "raw", pool: str = "lab-a") -> Path:
    """A volume of `size` bytes for the guest, in a directory pool. Deriving its keys takes seconds.

    libvirt's formatting fails now and then: "Unable to get accurate CPU usage" is qemu-img, that measures how long
    a key takes on a CPU which is busy. It did so three times in a row: it is tried ten times.
    """
    element = E.volume(
        E.name(name),
        E.capacity(str(size), unit="b"),
        E.allocation("0"),
        E.target(E.format(type=format_), encryption(uuid)),
    )
    again = retry_if_exception(lambda error: isinstance(error, LabError) and UNMEASURED in str(error))
    retrying = Retrying(stop=stop_after_attempt(10), wait=wait_fixed(1), retry=again, reraise=True)
    retrying(world.virsh.define, "vol-create", element, pool)
    return Path(world.virsh("vol-path", "--pool", pool, name))
