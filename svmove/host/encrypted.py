"""Images that are encrypted with LUKS: raw ones are a header and what follows, qcow2 have the header in them.

`qemu-img info` reads the header, and needs no key; a wrong one is found by reading what is behind it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from svmove import location
from svmove.errors import HostError
from svmove.host import command, comparing, convert, slices
from svmove.host.nodes import Nodes, Values, sliced
from svmove.location import Secret
from svmove.volumes import LUKS_HEADER

# A key is made to take two seconds, on the CPU that made it when it had nothing else to do.
_PATIENCE = 120.0
# QEMU's default (7.2), by name, so that the header has its length with any QEMU.
_CIPHER = "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256"


def driver(format_: str, luks: Secret | None) -> str:
    """What QEMU calls libvirt's format of an encrypted image."""
    return "luks" if luks is not None and format_ == "raw" else format_


def check_key(values: Values, path: str, format_: str, luks: Secret) -> None:
    """Raises HostError."""
    with Nodes(values) as nodes:
        image = nodes.image(path, format_, alone=True, luks=luks)
        argv = nodes.command(["qemu-io", "-r", "-U", "-c", "read -q 0 512"], image)
        command.run(argv, timeout=_PATIENCE, inherited=nodes.inherited)


def write_header(values: Values, path: str, luks: Secret | None, heed: Callable[[], None]) -> None:
    """Makes a header in memory, and writes it to what is no file: `qemu-img create` would want a name for it, in which
    a LUN's password stands. Raises HostError, and what `heed`, called twice a second, raises."""
    if luks is None:
        raise HostError(f"no passphrase is known for {path}")
    with Nodes(values) as nodes:
        made = nodes.in_memory()
        options = f"key-secret={nodes.secret(luks)},{_CIPHER}"
        argv = ["qemu-img", "create", "-q", "-f", "luks", "-o", options, made, "0"]
        convert.run_heeding(nodes.command(argv), nodes.inherited, heed)
        if (size := Path(made).stat().st_size) != LUKS_HEADER:
            raise HostError(f"QEMU makes a LUKS header of {size} bytes, not {LUKS_HEADER}; {path} is as it was")
        whole = nodes.protocol(made, cached=True), nodes.protocol(path)
        header, storage = (sliced(node, 0, LUKS_HEADER) for node in whole)
        network = location.is_network(path)
        convert.convert(nodes, header, storage, bandwidth=None, blank=False, flushed=network, heed=heed)
        convert.flush(nodes, whole[1], path, heed)

        def going_on(_compared: int) -> bool:
            heed()
            return True

        if comparing.compare_images(header, storage, LUKS_HEADER, going_on, shared=True, nodes=nodes) is not None:
            raise HostError(f"the LUKS header that was written to {path} is not what can be read there")


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
