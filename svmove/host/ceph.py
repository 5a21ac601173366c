"""What a Ceph pool still takes, by Ceph's own word. libvirt tells what the whole cluster has free, whatever the quota.

Asked by the command `ceph` (package ceph-common), as the pool's own user: the capability `profile rbd`, which that user
has in any case, allows it (Ceph 16). Where the command is not installed, it is not known.
"""

import base64
import json
import os

from svmove.errors import HostError
from svmove.host import command
from svmove.host.nodes import Values
from svmove.location import Network

# An answer takes 0.2 s; a cluster without its monitors never gives one.
_PATIENCE = 15.0


def room(values: Values, image: Network) -> int | None:
    """Bytes, below 0 when a quota is overrun: of the pool that the image, or `image` itself, is. None: not known.

    What was written counts a few seconds later.
    """
    if image.user is None or image.secret is None:
        return None
    pool = image.name.partition("/")[0]
    try:
        found = json.loads(_ask(image, values(image.secret), "df", "detail"))
        stats = next(entry["stats"] for entry in found["pools"] if entry["name"] == pool)
        left = int(stats["max_avail"])
        if quota := int(stats.get("quota_bytes", 0)):
            left = min(left, quota - int(stats["stored"]))
    except (HostError, ValueError, KeyError, TypeError, StopIteration):
        return None
    return left


def _ask(image: Network, key: bytes, *words: str) -> str:
    file = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(file, base64.b64encode(key))
        os.lseek(file, 0, os.SEEK_SET)
        argv = ["ceph", "--name", f"client.{image.user}", "--keyfile", f"/proc/self/fd/{file}"]
        if image.servers:  # else those of this host's own configuration
            argv += ["--conf", "/dev/null", "-m", ",".join(map(str, image.servers))]
        argv += ["--connect-timeout", "10", *words, "--format", "json"]
        return command.run(argv, timeout=_PATIENCE, inherited=[file])
    finally:
        os.close(file)
