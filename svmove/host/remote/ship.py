"""The source of what runs on another host, and the line of Python that takes it in.

All of it stays in that Python's memory. It comes through its standard input: an argument list is for everybody to read,
and has an end (128 KiB).
"""

import functools
import importlib.util
import json
import zlib
from pathlib import Path

# What `svmove.host.remote.agent` imports, itself included; a test holds the list to be exact.
MODULES = (
    "svmove",
    *(f"svmove.{name}" for name in ("blockdev", "errors", "fleet", "location", "model", "redact", "units", "volumes")),
    "svmove.host",
    *(
        f"svmove.host.{name}"
        for name in (
            "allocation",
            "ceph",
            "command",
            "comparing",
            "convert",
            "copying",
            "direct",
            "encrypted",
            "files",
            "info",
            "local",
            "lock",
            "monitor",
            "network",
            "nodes",
            "offload",
            "premises",
            "probe",
            "procfs",
            "progress",
            "reflink",
            "scratch",
            "slices",
            "timed_write",
        )
    ),
    "svmove.host.remote",
    *(f"svmove.host.remote.{name}" for name in ("agent", "waking", "wire")),
)

# Exit codes of what is below: this Python is too old; there is no socket.
TOO_OLD, NO_LIBVIRT = 97, 98

# As `python3 -I -c BOOT`: reads its length and the sources, and runs the agent. `get_source` is there for `inspect`, by
# which a part of it is given to a further process.
BOOT = f"""
import sys
if sys.version_info < (3, 11): sys.stderr.write("Python %d.%d" % sys.version_info[:2]); sys.exit({TOO_OLD})
import importlib.abc, importlib.util, json, zlib
stdin = sys.stdin.buffer
sources = json.loads(zlib.decompress(stdin.read(int.from_bytes(stdin.read(4), "big"))))
class Shipped(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name not in sources: return None
        package = any(other.startswith(name + ".") for other in sources)
        return importlib.util.spec_from_loader(name, self, origin="shipped", is_package=package)
    def is_package(self, name): return any(other.startswith(name + ".") for other in sources)
    def get_source(self, name): return sources[name]
sys.meta_path.insert(0, Shipped())
from svmove.host.remote.agent import main
main()
"""

# As `python3 -I -c PROXY SOCKET`: what libvirt's own client does with netcat, or virt-ssh-helper.
PROXY = f"""
import os, socket, sys, threading
link = socket.socket(socket.AF_UNIX)
try: link.connect(sys.argv[1])
except OSError as error: sys.stderr.write("%s: %s" % (sys.argv[1], error.strerror)); sys.exit({NO_LIBVIRT})
def forth():
    while chunk := os.read(0, 65536): link.sendall(chunk)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=forth, daemon=True).start()
while chunk := link.recv(65536):
    while chunk: chunk = chunk[os.write(1, chunk):]
"""


@functools.cache
def parcel() -> bytes:
    """The sources, as BOOT takes them."""
    sources = {name: _source(name) for name in MODULES}
    packed = zlib.compress(json.dumps(sources).encode(), 6)
    return len(packed).to_bytes(4, "big") + packed


def _source(name: str) -> str:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text(encoding="utf-8")
