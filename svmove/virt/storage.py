"""libvirt's pools and volumes as records. Raises libvirtError: for use inside `Connection.ask`, but for `make`."""

from typing import Any

import libvirt
from lxml import etree

from svmove import location
from svmove.errors import HypervisorError, NotFoundError
from svmove.location import Network, Protocol, Server
from svmove.model import Pool, Volume
from svmove.retries import UNMEASURED
from svmove.units import KiB
from svmove.virt import documents, xml
from svmove.virt.connection import Connection
from svmove.virt.sources import auth, get
from svmove.volumes import VolumeSpec

# Of a stream's packets: libvirt's own limit is 16 MiB, virsh's choice this.
_PIECE = 256 * KiB


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
        network=pool_network(described),
        autostart=bool(pool.autostart()),
    )


def pool_network(pool: etree._Element) -> str | None:
    """Where the volumes of a pool on the network lie."""
    source = pool.find("source")
    match pool.get("type"):
        case "rbd" if source is not None:
            return str(_network(source, Protocol.RBD, source.findtext("name") or ""))
        case "iscsi-direct" if source is not None:
            return str(_network(source, Protocol.ISCSI, get(source.find("device"), "path") or ""))
        case _:
            return None


def _network(source: etree._Element, protocol: Protocol, name: str) -> Network:
    hosts = [(host.get("name", ""), host.get("port")) for host in source.iterfind("host")]
    user, secret = auth(source)
    return Network(
        protocol=protocol,
        name=name,
        servers=tuple(Server(host=host, port=int(port) if port else None) for host, port in hosts),
        user=user,
        secret=secret,
        initiator=get(source.find("initiator/iqn"), "name"),
    )


def volume_record(pool: Any, volume: Any) -> Volume:
    _type, capacity, allocation = volume.info()
    described = xml.parse(volume.XMLDesc(0))
    format_ = described.find("target/format")
    return Volume(
        pool=pool.name(),
        name=volume.name(),
        path=_volume_location(pool, volume),
        capacity=capacity,
        allocation=allocation,
        format=None if format_ is None else format_.get("type"),
    )


def make(connection: Connection, spec: VolumeSpec) -> Volume:
    """Raises HypervisorError."""
    # libvirt preallocates qcow2 when it is asked to, raw by the allocation alone.
    mapped = spec.full and spec.format == "qcow2" and spec.backing is None and spec.luks is None
    flags = libvirt.VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA if mapped else 0

    def again(error: BaseException) -> bool:
        return spec.luks is not None and isinstance(error, HypervisorError) and UNMEASURED in error.text

    made: Volume = connection.retries.of_call(again)(connection.once, lambda c: create(c, spec, flags))
    return made


def create(c: Any, spec: VolumeSpec, flags: int) -> Volume:
    """A volume group gives whole extents, and what lies in them is what lay there before: earlier volumes' data. As far
    as the guest sees it, the copy overwrites all of it; what is left of the last extent is zeroed here, or it would
    come to light for whoever lets the guest have it."""
    pool = c.storagePoolLookupByName(spec.pool)
    logical = xml.parse(pool.XMLDesc(0)).get("type") == "logical"
    volume = pool.createXML(documents.volume(spec, dense=logical), flags)
    made = volume_record(pool, volume)
    if logical and made.capacity > spec.length:
        _zero(c, volume, spec.length, made.capacity - spec.length)
    return made


def _zero(c: Any, volume: Any, offset: int, length: int) -> None:
    stream = c.newStream()
    try:
        volume.upload(stream, offset, length)
        while length:
            length -= stream.send(bytes(min(length, _PIECE)))
        stream.finish()
    except BaseException:
        stream.abort()
        raise


def volume_names(c: Any, pool: str) -> frozenset[str]:
    """Without the controllers of targets, which libvirt lists as LUNs of 0 bytes."""
    found = c.storagePoolLookupByName(pool)
    if xml.parse(found.XMLDesc(0)).get("type") != "iscsi-direct":
        return frozenset(found.listVolumes())
    return frozenset(volume.name() for volume in found.listAllVolumes() if volume.info()[1])


def _volume_location(pool: Any, volume: Any) -> str:
    if volume.info()[0] != libvirt.VIR_STORAGE_VOL_NETWORK:
        return str(volume.path())
    where = pool_network(xml.parse(pool.XMLDesc(0)))
    return str(volume.path()) if where is None else location.child(where, volume.name())


def volume_path(c: Any, pool: str, volume: str) -> str | None:
    """Its location."""
    try:
        found = c.storagePoolLookupByName(pool)
        return _volume_location(found, found.storageVolLookupByName(volume))
    except libvirt.libvirtError:  # the pool is inactive or the volume gone: no path is known
        return None


def named_path(c: Any, pool: str, volume: str) -> str | None:
    """Where the pool's definition puts a volume of that name, though it be inactive, or not list it. None: it does
    not say where. Raises libvirtError, also when there is no such pool."""
    described = xml.parse(c.storagePoolLookupByName(pool).XMLDesc(0))
    where = pool_network(described) or described.findtext("target/path")
    return None if where is None else location.child(where, volume)


def find(c: Any, path: str) -> tuple[Any, Any]:
    """The pool and the volume at a location. Raises libvirtError, or NotFoundError when no active pool has it."""
    if not location.is_network(path):
        volume = c.storageVolLookupByPath(path)
        return volume.storagePoolLookupByVolume(), volume
    # libvirt's own path of such a volume does not tell whose it is: vms/web, of whatever cluster.
    for pool in c.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        where = pool_network(xml.parse(pool.XMLDesc(0)))
        name = None if where is None else location.volume(where, path)
        if name is not None:
            return pool, pool.storageVolLookupByName(name)
    raise NotFoundError("volume", path)
