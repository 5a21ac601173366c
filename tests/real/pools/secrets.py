"""Secrets in the lab's libvirt. The value goes by a file of mode 600, never by an argument."""

import base64
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lxml import etree
from lxml.builder import E

from tests.real.world import World


@contextmanager
def secret(world: World, value: bytes | None, kind: str, usage: str, *, private: bool = False) -> Iterator[str]:
    """The uuid of a secret; of a `private` one nobody but libvirt is told the value.

    `kind`: ceph, iscsi or volume, `usage` its name; without a value it has none."""
    number = str(uuid.uuid4())
    named = {"volume": "volume", "iscsi": "target"}.get(kind, "name")
    element = E.secret(
        E.uuid(number),
        E.usage(E(named, usage), type=kind),
        ephemeral="no",
        private="yes" if private else "no",
    )
    world.virsh.define("secret-define", element)
    try:
        if value is not None:
            set_value(world, number, value)
        yield number
    finally:
        world.virsh("secret-undefine", number)


def set_value(world: World, number: str, value: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64encode(value))
        file.flush()
        world.virsh("secret-set-value", number, "--file", file.name)


@contextmanager
def missing(world: World, number: str, value: bytes) -> Iterator[None]:
    """Somebody has taken the secret away; afterwards it is there again."""
    described = etree.fromstring(world.virsh("secret-dumpxml", number).encode())
    world.virsh("secret-undefine", number)
    try:
        yield
    finally:
        world.virsh.define("secret-define", described)
        set_value(world, number, value)
