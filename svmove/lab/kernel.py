"""A kernel for the guest: the distribution's cloud kernel, unpacked and never installed.

apt itself finds and checks the package; what it downloads stays in a cache of its own (about 150 MiB
unpacked), because a lab comes and goes more often than a kernel. Where the distribution has no such
package, the host's own kernel and modules do.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svmove.lab.command import run
from svmove.lab.errors import LabError

Say = Callable[[str], None]

# Debian's name per architecture, and Ubuntu's kernel for virtual machines (its modules are a package aside).
_METAPACKAGES = ("linux-image-cloud-{arch}", "linux-image-virtual")
_WANTED = re.compile(r"^\s*Depends:\s*(linux-(?:image|modules)-\d\S*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """`version` names what was unpacked; `modules` holds kernel/... below it."""

    version: str
    image: Path
    modules: Path


def provide(cache: Path, say: Say) -> Kernel:
    """The kernel from the cache, else through apt, else the host's own. One caller at a time.

    Raises:
        LabError: none of the three is there.
    """
    if found := _unpacked(cache):
        return found
    reasons = []
    for name in _METAPACKAGES:
        try:
            return _download(name.format(arch=run(["dpkg", "--print-architecture"]).strip()), cache, say)
        except LabError as error:
            reasons.append(str(error))
    if host := _host_kernel():
        say(f"guest kernel: the host's own {host.version}; there is no cloud kernel package")
        return host
    raise LabError(
        f"no kernel for the guest: {'; '.join(reasons)}; and no /boot/vmlinuz-{os.uname().release}",
        remedy="apt-get update, then again; or give the lab a network once",
    )


def _download(metapackage: str, cache: Path, say: Say) -> Kernel:
    packages = _packages(metapackage)
    if not packages:
        say("guest kernel: apt has no package lists yet, so apt-get update")
        run(["apt-get", "-qq", "update"], timeout=300)
        packages = _packages(metapackage)
    if not packages:
        raise LabError(f"apt knows no {metapackage}")
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Unpacked beside its final name and renamed last: what has the name is whole, whoever was killed when.
    scratch = cache / "unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    say(f"guest kernel: downloading {', '.join(packages)}")
    # APT::Sandbox::User: _apt may not write here, and apt would say so each time.
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"]
    run([*download, *packages], cwd=scratch, timeout=300)
    for archive in scratch.glob("*.deb"):
        run(["dpkg-deb", "-x", archive, scratch / "tree"])
    (scratch / "tree").rename(cache / packages[0])
    shutil.rmtree(scratch)
    if found := _unpacked(cache):
        return found
    raise LabError(f"{packages[0]} holds no /boot/vmlinuz-* with modules")


def _packages(metapackage: str) -> list[str]:
    """The packages with the kernel and its modules: what the metapackage needs, and what these need."""
    known: list[str] = []
    ask = [metapackage]
    while ask:
        try:
            said = run(["apt-cache", "depends", ask.pop()])
        except LabError:
            continue
        new = [name for name in _WANTED.findall(said) if name not in known]
        known += new
        ask += new
    return known


def _unpacked(cache: Path) -> Kernel | None:
    """The newest whole kernel of the cache."""
    trees = [tree for tree in cache.glob("linux-*") if tree.is_dir()]
    for tree in sorted(trees, key=lambda path: path.stat().st_mtime, reverse=True):
        for image in (tree / "boot").glob("vmlinuz-*"):
            version = image.name.removeprefix("vmlinuz-")
            for modules in (tree / "lib/modules" / version, tree / "usr/lib/modules" / version):
                if modules.is_dir():
                    return Kernel(version=version, image=image, modules=modules)
    return None


def _host_kernel() -> Kernel | None:
    version = os.uname().release
    image, modules = Path(f"/boot/vmlinuz-{version}"), Path(f"/lib/modules/{version}")
    return Kernel(version=version, image=image, modules=modules) if image.exists() and modules.is_dir() else None
