"""libvirt's pools and volumes as records. Raises libvirtError: for use inside `Connection.ask`."""

from typing import Any

import libvirt

from svmove.model import Pool, Volume
from svmove.virt import xml


def pool_record(pool: Any) -> Pool:
    _state, capacity, allocation, available = pool.info()
    described = xml.parse(pool.XMLDesc(0))
    return Pool(
        name=pool.name(),
        type=described.get("type", ""),
        active=bool(pool.isActive()),
        path=described.findtext("target/path"),
        capacity=capacity,
        allocation=allocation,
        available=available,
    )


def volume_record(pool: str, volume: Any) -> Volume:
    _type, capacity, allocation = volume.info()
    described = xml.parse(volume.XMLDesc(0))
    format_ = described.find("target/format")
    return Volume(
        pool=pool,
        name=volume.name(),
        path=volume.path(),
        capacity=capacity,
        allocation=allocation,
        format=None if format_ is None else format_.get("type"),
    )


def volume_path(c: Any, pool: str, volume: str) -> str | None:
    try:
        return str(c.storagePoolLookupByName(pool).storageVolLookupByName(volume).path())
    except libvirt.libvirtError:  # the pool is inactive or the volume gone: no path is known
        return None
