"""Files that are encrypted with LUKS: raw ones are a header and what follows, qcow2 have the header in them.

`qemu-img info` reads the header, and needs no key; a wrong one is found by reading what is behind it.
"""

import json
import os

from svmove.host import command, slices
from svmove.host.nodes import Nodes, Values
from svmove.location import Secret

# A key is made to take two seconds, on the CPU that made it when it had nothing else to do.
_PATIENCE = 120.0


def driver(format_: str, luks: Secret | None) -> str:
    """What QEMU calls libvirt's format of an encrypted image."""
    return "luks" if luks is not None and format_ == "raw" else format_


def check_key(values: Values, path: str, format_: str, luks: Secret) -> None:
    """Raises HostError."""
    with Nodes(values) as nodes:
        image = nodes.image(path, format_, alone=True, luks=luks)
        argv = nodes.command(["qemu-io", "-r", "-U", "-c", "read -q 0 512"], image)
        command.run(argv, timeout=_PATIENCE, inherited=nodes.inherited)


def is_blank(values: Values, path: str, format_: str, luks: Secret) -> bool:
    """Whether the image is complete, and nothing was ever written into it. Raises HostError, OSError."""
    specific = command.image_info(path, driver(format_, luks))["format-specific"]["data"]
    header = specific["encrypt"] if format_ != "raw" else specific
    if not any(slot["active"] for slot in header["slots"]):
        return False  # QEMU writes the key last
    if format_ == "raw":
        with open(path, "rb") as file:  # noqa: PTH123 (a descriptor)
            size = os.fstat(file.fileno()).st_size
            return next(slices.data(file.fileno(), header["payload-offset"], size), None) is None
    with Nodes(values) as nodes:
        image = nodes.image(path, format_, alone=True, luks=luks)
        argv = nodes.command(["qemu-img", "map", "--output=json", "-U"], image)
        extents = json.loads(command.run(argv, timeout=_PATIENCE, inherited=nodes.inherited))
    return not any(extent["data"] for extent in extents)
