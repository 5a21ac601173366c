"""Images as QEMU's block options, for qemu-img, and the secrets that open them.

A secret's value goes to qemu-img through a file in memory that it inherits: never on a command line, never on a disk.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from svmove import blockdev, location
from svmove.errors import HostError
from svmove.host import direct
from svmove.location import Secret

Options = blockdev.Options
# The value of a secret of libvirt's store; raises HypervisorError when it can't be had.
Values = Callable[[Secret], bytes]


def no_secrets(secret: Secret) -> bytes:
    raise HostError(f"nobody can tell the value of the secret {secret.uuid or secret.usage}")


class Nodes:
    """A context in which images can be described; the secrets' files end with it."""

    def __init__(self, values: Values = no_secrets) -> None:
        self._values = values
        self._files: list[int] = []  # of secrets
        self._images: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None) -> None:
        for file in self.inherited:
            os.close(file)

    def command(self, words: Sequence[str], *images: Options) -> list[str]:
        """Of qemu-img or qemu-io: `words`, the secrets, the images. One method for the three, since a list of secrets
        that is made before an image is described lacks that image's."""
        secrets = [
            word
            for number, file in enumerate(self._files)
            for word in ("--object", f"secret,id=secret{number},file=/proc/self/fd/{file}")
        ]
        return [*words, *secrets, *("json:" + json.dumps(image) for image in images)]

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors that qemu-img must be given."""
        return (*self._files, *self._images)

    def in_memory(self) -> str:
        """The path, for whoever inherits it, of a new file that is in memory alone, and ends with this context."""
        file = os.memfd_create("image", os.MFD_CLOEXEC)
        self._images.append(file)
        return f"/proc/self/fd/{file}"

    def protocol(self, path: str, *, cached: bool = False) -> Options:
        """The bytes of the storage, without a format. Of a file past the page cache, unless `cached`: what lies on
        the storage counts, and a third of the time is saved (docs/internals.md)."""
        if not location.is_network(path):
            driver = "host_device" if Path(path).is_block_device() else "file"
            return {"driver": driver, "filename": path, "cache": {"direct": not cached and direct.takes(path)}}
        image = location.parse(path)
        return blockdev.options(image, None if image.secret is None else self.secret(image.secret))

    def image(
        self, path: str, format_: str, *, alone: bool = False, luks: Secret | None = None, cached: bool = False
    ) -> Options:
        """What a guest sees; `alone`: without what lies below the image; `luks`: the passphrase of one that is
        encrypted; `cached`: by the page cache."""
        below = self.protocol(path, cached=cached)
        cache = {"cache": below["cache"]} if "cache" in below else {}
        if luks is not None and format_ == "raw":
            return {"driver": "luks", "key-secret": self.secret(luks), "file": below, **cache}
        if format_ == "raw":
            return {"driver": "raw", "file": below} if location.is_network(path) else below
        node = {"driver": format_, "file": below, **cache, **({"backing": None} if alone else {})}
        if luks is not None:
            node["encrypt"] = {"format": "luks", "key-secret": self.secret(luks)}
        return node

    def secret(self, secret: Secret) -> str:
        """The id by which an image's options name it."""
        file = os.memfd_create("secret", os.MFD_CLOEXEC)
        self._files.append(file)
        os.write(file, self._values(secret))
        os.lseek(file, 0, os.SEEK_SET)
        return f"secret{len(self._files) - 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An image that is copied, or copied to."""

    path: str
    format: str
    luks: Secret | None = None  # the passphrase of one that is encrypted

    @property
    def hides(self) -> bool:
        """What is a hole in it is no zeros for who has the key."""
        return self.luks is not None and self.format == "raw"

    def node(self, nodes: Nodes, *, cached: bool = False) -> Options:
        return nodes.image(self.path, self.format, luks=self.luks, cached=cached)


def sliced(node: Options, offset: int, length: int) -> Options:
    cache = {"cache": node["cache"]} if "cache" in node else {}
    return {"driver": "raw", "offset": offset, "size": length, "file": node, **cache}


def seen_whole(node: Options) -> Options:
    """An image that lies on another one, with what lies below it.

    A slice asks the image that it is cut from which parts have data, and does not look below: qemu-img would then
    take what only a backing file has for zeros. A quorum of one does look below.
    """
    return {"driver": "quorum", "vote-threshold": 1, "read-pattern": "fifo", "children": [node]}
