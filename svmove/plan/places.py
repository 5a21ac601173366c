"""What a pool's type means for the volumes that are to be in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from svmove import location
from svmove.location import Network, Protocol
from svmove.model import Inventory, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    files: bool = False  # in a folder of the host: formats, chains, sharing extents
    makes: bool = False  # its volumes are made for the move; else one that is there is taken, and never deleted
    takes: bool = False  # but one that is there, and is named, is taken as it is
    thin: bool = False  # a volume takes what is written to it
    deletes: bool = False  # the volume can be deleted when a guest has left it


_FILES = Kind(files=True, makes=True, thin=True, deletes=True)
# libvirt names a new partition itself, and so it can't be planned: one that is there is taken.
KINDS: Mapping[str, Kind] = {
    "dir": _FILES,
    "fs": _FILES,
    "netfs": _FILES,
    "rbd": Kind(makes=True, thin=True, deletes=True),
    # libvirt makes thick volumes. A thin one is made by lvcreate beforehand, and taken; libvirt 9.0 does not list it.
    "logical": Kind(makes=True, takes=True, deletes=True),
    "disk": Kind(),
    "iscsi-direct": Kind(),
    "nbd": Kind(),
}


def kind(pool: Pool | None) -> Kind | None:
    """None: svmove does not know what to make of such a pool."""
    return None if pool is None else KINDS.get(pool.type)


def destination(name: str | None, inventory: Inventory) -> Pool | None:
    """The pool that is meant: libvirt's, by name; or, of what libvirt has no pools for, the image itself by its URI."""
    if name is None:
        return None
    return image_by_uri(name) or inventory.pool(name)


def image_by_uri(name: str) -> Pool | None:
    """`nbd://HOST/EXPORT`: an export that stands for a pool with this one volume. None: it is no such URI."""
    if not location.is_network(name):
        return None
    try:
        image = export(name)
    except ValueError:
        return None
    return Pool(name=name, type=str(image.protocol), active=True, path=None, network=str(image))


def export(uri: str) -> Network:
    """Raises ValueError, with the reason, for what can't be a destination by its URI."""
    image = location.parse(uri)
    if image.protocol is not Protocol.NBD:
        raise ValueError(f"libvirt has pools for {image.protocol}: name the pool, and the volume in it")
    if not image.servers and image.socket is None:
        raise ValueError("it names neither a server nor a socket")
    return image
