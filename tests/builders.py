"""Records with sensible defaults: a test names only what it is about.

The guest `web` runs from pool `slow` (/pools/slow) and is to go to pool `fast` (/pools/fast).
"""

from typing import Any

from svmove.model import Disk, Domain, DomainState, Image, Inventory, Pool, SourceKind, Volume
from svmove.moves import Plan
from svmove.outcomes import Outcome, Seconds, State
from svmove.plan.planner import make_plan
from svmove.policy import Policy
from svmove.requests import Format, Request, Verify
from svmove.units import GiB, MiB
from svmove.volumes import DiskPlan, VolumeSpec

UUID = "6f2c8d1e-0000-4000-8000-000000000001"
MOVE = "20240101-120000-abc123"
NOW = 1_700_000_000.0


def disk(target: str = "vda", **changed: Any) -> Disk:
    return Disk(
        **{
            "target": target,
            "device": "disk",
            "kind": SourceKind.FILE,
            "path": f"/pools/slow/web-{target}.qcow2",
            "format": "qcow2",
            **changed,
        }
    )


def domain(*disks: Disk, **changed: Any) -> Domain:
    live = disks or (disk(),)
    return Domain(
        **{
            "name": "web",
            "uuid": UUID,
            "state": DomainState.RUNNING,
            "persistent": True,
            "live": live,
            "inactive": live,
            **changed,
        }
    )


def pool(name: str = "fast", **changed: Any) -> Pool:
    return Pool(
        **{
            "name": name,
            "type": "dir",
            "active": True,
            "path": f"/pools/{name}",
            "capacity": 100 * GiB,
            "allocation": 50 * GiB,
            "available": 50 * GiB,
            **changed,
        }
    )


def image(**changed: Any) -> Image:
    return Image(
        **{
            "format": "qcow2",
            "virtual_bytes": 4 * GiB,
            "allocated_bytes": 1 * GiB,
            "cluster_bytes": 65536,
            "compat": "1.1",
            **changed,
        }
    )


def inventory(*disks: Disk, **changed: Any) -> Inventory:
    """Every disk with a path is a volume of pool `slow`, with an image of 4 GiB, 1 GiB of it allocated."""
    described = changed.pop("domain", None) or domain(*disks)
    paths = [one.path for one in described.disks if one.path is not None]
    formats = {one.path: one.format for one in described.disks}
    return Inventory(
        **{
            "domain": described,
            "pools": (pool("fast"), pool("slow")),
            "volumes": {
                path: Volume(pool="slow", name=path.rpartition("/")[2], path=path, capacity=4 * GiB, allocation=1 * GiB)
                for path in paths
            },
            "images": {path: image(format=formats[path]) for path in paths},
            "names": {"fast": frozenset(), "slow": frozenset(path.rpartition("/")[2] for path in paths)},
            "scratch_free": 100 * GiB,
            **changed,
        }
    )


def request(**changed: Any) -> Request:
    return Request(**{"domain": "web", "to": "fast", "format": Format.KEEP, **changed})


def planned(asked: Request | None = None, found: Inventory | None = None, policy: Policy | None = None) -> Plan:
    return make_plan(asked or request(), found or inventory(), policy or Policy(), move=MOVE, now=NOW)


def spec(**changed: Any) -> VolumeSpec:
    return VolumeSpec(
        **{
            "pool": "fast",
            "name": "web-vda.qcow2",
            "path": "/pools/fast/web-vda.qcow2",
            "format": "qcow2",
            "capacity": 4 * GiB,
            **changed,
        }
    )


def disk_plan(**changed: Any) -> DiskPlan:
    return DiskPlan(
        **{
            "target": "vda",
            "source": "/pools/slow/web-vda.qcow2",
            "source_format": "qcow2",
            "pool_from": "slow",
            "volume_from": "web-vda.qcow2",
            "destination": spec(),
            "copy_bytes": 1 * GiB,
            "bandwidth": None,
            "delete_source": True,
            **changed,
        }
    )


def plan(**changed: Any) -> Plan:
    return Plan(
        **{
            "move": MOVE,
            "domain": "web",
            "uuid": UUID,
            "method": "mirror",
            "disks": (disk_plan(),),
            "there": (),
            "verify": Verify.CUTOVER,
            "max_pause": 2.0,
            "granularity": None,
            "buffer": 64 * MiB,
            "findings": (),
            "copy_bytes": 1 * GiB,
            "copy_seconds": 5.12,
            "created": NOW,
            **changed,
        }
    )


def outcome(**changed: Any) -> Outcome:
    return Outcome(
        **{
            "move": MOVE,
            "domain": "web",
            "state": State.DONE,
            "method": "mirror",
            "disks": (),
            "seconds": Seconds(),
            "findings": (),
            **changed,
        }
    )
