"""What a lab is at this moment, asked of its daemon and read from its guest's console."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from svmove.lab import pools, report
from svmove.lab.command import Virsh
from svmove.lab.paths import LabPaths
from svmove.lab.specs import DOMAIN, POOLS


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskStatus:
    """`pool` is the lab's pool that the file lies in, None when it lies elsewhere."""

    target: str
    path: str
    pool: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """`daemon`: process id of the lab's own daemon, None when it is down or somebody else's. `guest`:
    libvirt's word for lab-guest ("running", "paused", "shut off"), None without one. `accelerator`: KVM or
    TCG. `samples`: fio's last counters, by disk."""

    root: Path
    uri: str
    exists: bool
    daemon: int | None = None
    guest: str | None = None
    accelerator: str | None = None
    pools: Mapping[str, Path] = field(default_factory=dict)
    disks: tuple[DiskStatus, ...] = ()
    samples: Mapping[str, report.Sample] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.guest == "running"


def ask(virsh: Virsh, paths: LabPaths, daemon: int | None) -> LabStatus:
    """The status of a lab whose daemon answers. Raises LabError when it stops answering meanwhile."""
    base = LabStatus(root=paths.root, uri=virsh.uri, exists=True, daemon=daemon, pools=pools.directories(virsh, POOLS))
    if DOMAIN not in virsh.names("list", "--all"):
        return base
    domain = etree.fromstring(virsh("dumpxml", DOMAIN).encode())
    return LabStatus(
        root=base.root,
        uri=base.uri,
        exists=True,
        daemon=daemon,
        guest=virsh("domstate", DOMAIN),
        accelerator="KVM" if domain.get("type") == "kvm" else "TCG",
        pools=base.pools,
        disks=tuple(_disk(element, base.pools) for element in domain.iterfind("devices/disk")),
        samples=report.latest(report.current_boot(report.tail(paths.console(DOMAIN)))),
    )


def _disk(element: etree._Element, directories: Mapping[str, Path]) -> DiskStatus:
    source, target = element.find("source"), element.find("target")
    path = (
        next((source.attrib[name] for name in ("file", "dev", "name") if name in source.attrib), "")
        if source is not None
        else ""
    )
    return DiskStatus(
        target=target.get("dev", "") if target is not None else "",
        path=path,
        pool=next((name for name, directory in directories.items() if Path(path).parent == directory), None),
    )
