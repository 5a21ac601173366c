"""The lab's two directory pools."""

from collections.abc import Iterable
from pathlib import Path

from lxml import etree
from lxml.builder import E

from svmove.lab.command import Virsh
from svmove.lab.errors import LabError


def ensure(virsh: Virsh, name: str, directory: Path) -> None:
    """Defined, active, started with the daemon. Raises LabError when a foreign pool has the name."""
    if name in virsh.names("pool-list", "--all"):
        if (other := directory_of(virsh, name)) != directory:
            raise LabError(
                f"there is a pool {name} already, at {other}, and it is not this lab's",
                remedy="end the lab that made it (svmove lab down), or rename the pool",
            )
    else:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        pool = E.pool(E.name(name), E.target(E.path(str(directory))), type="dir")
        virsh.define("pool-define", pool)
    if name not in virsh.names("pool-list"):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        virsh("pool-start", name)
    virsh("pool-autostart", name)


def directories(virsh: Virsh, names: Iterable[str]) -> dict[str, Path]:
    """Where those of the pools lie that exist."""
    known = virsh.names("pool-list", "--all")
    return {name: directory_of(virsh, name) for name in names if name in known}


def directory_of(virsh: Virsh, name: str) -> Path:
    return Path(etree.fromstring(virsh("pool-dumpxml", name).encode()).findtext("target/path") or "")


def remove(virsh: Virsh, name: str) -> None:
    """Forgets the pool; what is in its directory stays. Raises LabError."""
    if name in virsh.names("pool-list"):
        virsh("pool-destroy", name)
    virsh("pool-undefine", name)
