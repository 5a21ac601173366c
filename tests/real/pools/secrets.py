"""Secrets in the lab's libvirt. The value goes by a file of mode 600, never by an argument."""

import base64
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lxml.builder import E

from tests.real.world import World


@contextmanager
def secret(world: World, value: bytes | None, kind: str, usage: str) -> Iterator[str]:
    """The uuid of a private secret. `kind`: ceph, iscsi or volume, `usage` its name; without a value it has none."""
    number = str(uuid.uuid4())
    named = {"volume": "volume", "iscsi": "target"}.get(kind, "name")
    element = E.secret(
        E.uuid(number),
        E.usage(E(named, usage), type=kind),
        ephemeral="no",
        private="yes",
    )
    world.virsh.define("secret-define", element)
    try:
        if value is not None:
            with tempfile.NamedTemporaryFile() as file:
                file.write(base64.b64encode(value))
                file.flush()
                world.virsh("secret-set-value", number, "--file", file.name)
        yield number
    finally:
        world.virsh("secret-undefine", number)
