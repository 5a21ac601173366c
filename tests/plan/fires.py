"""One case of a check, and the guests and requests that the cases of all rooms are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from svmove.location import Secret, SecretState
from svmove.model import Checkpoint, DomainState, Inventory
from svmove.moves import Level
from svmove.policy import Policy
from svmove.requests import DiskRequest, Request
from svmove.units import GiB
from svmove.volumes import Taken
from tests.builders import disk, domain, image, inventory, planned, pool, request

VDA = "/pools/slow/web-vda.qcow2"
C1 = Checkpoint(name="c1", targets=("vda", "vdb"))


@dataclass(frozen=True, kw_only=True)
class Fires:
    code: str
    found: Inventory = field(default_factory=inventory)
    asked: Request = field(default_factory=request)
    policy: Policy = field(default_factory=Policy)
    level: Level = Level.REFUSE
    target: str | None = None
    also: frozenset[str] = frozenset()  # other codes that come with it
    says: str = ""  # part of text or remedy

    def holds(self) -> None:
        """It is found, as it says, and nothing but it."""
        found = planned(self.asked, self.found, self.policy).findings
        assert {self.code, *self.also} == {finding.code for finding in found}
        finding = next(finding for finding in found if finding.code == self.code)
        assert (self.level, self.target) == (finding.level, finding.target)
        assert self.says in f"{finding.text} {finding.remedy}"


def codes(asked: Request, found: Inventory) -> set[str]:
    return {finding.code for finding in planned(asked, found).findings}


def images(**changed: Any) -> Mapping[str, Any]:
    return {VDA: image(**changed)}


def named(*disks: DiskRequest, **changed: Any) -> Request:
    return request(disks=disks or (DiskRequest(target="vda"),), **changed)


BASE = "/pools/slow/base.qcow2"
CHAINED = disk(chain=(BASE,), chain_formats=("qcow2",))


def chained(**changed: Any) -> Inventory:
    """A disk on a base."""
    return inventory(CHAINED, **{"images": {VDA: image(), BASE: image()}, **changed})


OFF = domain(live=(), state=DomainState.OFF)
OFF_CHAINED = domain(live=(), inactive=(CHAINED,), state=DomainState.OFF)
ON_LUN = disk(path="iscsi://10.0.0.5/iqn.2026-11.org:san/2", chain=(BASE,), chain_formats=("qcow2",))
THICK = frozenset({"thinness"})
SAN = "iscsi://10.0.0.5/iqn.2026-11.org:san"
LUN = SAN + "/1"
ENTERS = frozenset({"plain-traces", "thinness"})
BLANK = Taken(size=4 * GiB, blank=True)


def to_lun(**changed: Any) -> Inventory:
    """A pool of LUNs, with one of the disk's own size."""
    there = {"size": 4 * GiB, "blank": True, **changed}
    pools = (pool(type="iscsi-direct", path=None, network=SAN), pool("slow"))
    return inventory(pools=pools, names={"fast": frozenset({"unit:0:0:1"})}, taken={LUN: Taken(**there)})


def lun(name: str = "unit:0:0:1") -> Request:
    return named(DiskRequest(target="vda", name=name))


KEY, OTHER = Secret(uuid="6f2c8d1e-0000-4000-8000-00000000000a"), Secret(usage="other")
LOCKED = disk(luks=KEY, format="raw")
SHUT = {VDA: image(format="raw", encrypted=True, allocated_bytes=4 * GiB)}
NAS = "nbd://10.0.0.7/web"
CEPH = "rbd://me@10.0.0.1/vms?secret-usage=other"


def locked(**changed: Any) -> Inventory:
    """A raw disk in LUKS, fully allocated."""
    return inventory(LOCKED, **{"images": SHUT, "secrets": {KEY: SecretState.READABLE}, **changed})


def ceph(state: SecretState) -> Inventory:
    pools = (pool(type="rbd", path=None, network=CEPH), pool("slow"))
    return inventory(pools=pools, secrets={OTHER: state})


SNAPPED = images(internal_snapshots=("s1", "s2"))
