"""Block jobs: the mirror's beginning, its figures, its end."""

from collections.abc import Mapping
from typing import Any

import libvirt

from svmove.model import Job
from svmove.virt import documents, xml
from svmove.virt.connection import Connection
from svmove.volumes import CopyOptions, VolumeSpec

_KINDS = {
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL: "pull",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY: "copy",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT: "commit",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT: "active-commit",
    libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP: "backup",
}


def start_copy(connection: Connection, uuid: str, target: str, destination: VolumeSpec, options: CopyOptions) -> None:
    parameters = {}
    if options.buffer:
        parameters[libvirt.VIR_DOMAIN_BLOCK_COPY_BUF_SIZE] = options.buffer
    if options.bandwidth is not None:
        parameters[libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH] = options.bandwidth
    if options.granularity is not None:
        parameters[libvirt.VIR_DOMAIN_BLOCK_COPY_GRANULARITY] = options.granularity
    # A persistent domain needs TRANSIENT_JOB ("domain is not transient"); the volume exists: REUSE_EXT.
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    if options.synchronous:
        flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
    if options.shallow:
        flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW
    described = documents.copy_destination(destination, sliced=options.sliced)
    connection.once(lambda c: c.lookupByUUIDString(uuid).blockCopy(target, described, parameters, flags))


def job(connection: Connection, uuid: str, target: str) -> Job | None:
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES
    info = connection.ask(lambda c: c.lookupByUUIDString(uuid).blockJobInfo(target, flags))
    if not info:
        return None
    return Job(kind=_KINDS.get(info["type"], "unknown"), done=info["cur"], end=info["end"])


def set_bandwidth(connection: Connection, uuid: str, target: str, bandwidth: int | None) -> None:
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES
    connection.ask(lambda c: c.lookupByUUIDString(uuid).blockJobSetSpeed(target, bandwidth or 0, flags))


def request_pivot(connection: Connection, uuid: str, target: str) -> None:
    # ASYNC, because a synchronous pivot holds the domain's lock for as long as it takes.
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT | libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC
    connection.once(lambda c: c.lookupByUUIDString(uuid).blockJobAbort(target, flags))


def cancel(connection: Connection, uuid: str, target: str) -> None:
    # ASYNC, because a synchronous abort waits for a stalled destination.
    flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC
    connection.ask(lambda c: c.lookupByUUIDString(uuid).blockJobAbort(target, flags))


def lay_over(connection: Connection, uuid: str, overlays: Mapping[str, VolumeSpec]) -> None:
    flags = (
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    )

    def snapshot(c: Any) -> None:
        domain = c.lookupByUUIDString(uuid)
        domain.snapshotCreateXML(documents.overlays(xml.parse(domain.XMLDesc(0)), overlays), flags)

    connection.once(snapshot)


def begin_merge(connection: Connection, uuid: str, target: str) -> None:
    # SHALLOW: into the file just below. Without, libvirt takes the last of the chain.
    flags = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | libvirt.VIR_DOMAIN_BLOCK_COMMIT_SHALLOW
    connection.once(lambda c: c.lookupByUUIDString(uuid).blockCommit(target, None, None, 0, flags))


def writes(connection: Connection, uuid: str, target: str) -> tuple[int, int]:
    """Requests and bytes, since the guest was started."""

    def read(c: Any) -> tuple[int, int]:
        _, _, requests, written, _ = c.lookupByUUIDString(uuid).blockStats(target)
        return requests, written

    return connection.ask(read)
