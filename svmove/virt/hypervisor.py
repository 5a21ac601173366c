"""`Hypervisor` on libvirt. Each method is one idea of libvirt's; the order of calls is the move's business."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from types import MappingProxyType
from typing import Any

import libvirt

from svmove import location
from svmove.errors import HypervisorError, NotFoundError
from svmove.fleet import Counters, DiskKey
from svmove.health import Setup
from svmove.location import Secret, SecretState
from svmove.model import Agent, Domain, DomainState, InactiveImage, Job, Pool, Tuning, Versions, Volume
from svmove.retries import Retries, Retry, RetryPolicy
from svmove.survey import Survey
from svmove.virt import (
    agent,
    checkpoints,
    export,
    fleet,
    jobs,
    media,
    metadata,
    opened,
    secrets,
    setup,
    snapshots,
    storage,
    throttle,
    usage,
    xml,
)
from svmove.virt.connection import Connection, Way, unless_unsupported
from svmove.virt.events import EventQueue, subscribed
from svmove.virt.storage import find, pool_record, volume_names, volume_path, volume_record
from svmove.volumes import CopyOptions, DiskPlan, VolumeSpec

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: DomainState.OFF,
}
# Where libvirt keeps the state of an emulated TPM, by the domain's UUID, unless it is told another place.
_TPM_STATE = "/var/lib/libvirt/swtpm/"


class LibvirtHypervisor:
    """Raises UnreachableError at once when the daemon can't be reached."""

    def __init__(self, uri: str, retry: RetryPolicy, way: Way | None = None, retries: Retries | None = None) -> None:
        self._connection = Connection(uri, retry, way, retries)

    @property
    def uri(self) -> str:
        return self._connection.uri

    def retried(self) -> tuple[Retry, ...]:
        return self._connection.retries.taken()

    def close(self) -> None:
        self._connection.close()

    def reconnect(self) -> None:
        self._connection.reopen()

    def versions(self) -> Versions:
        return self._connection.ask(lambda c: Versions(libvirt=c.getLibVersion(), qemu=c.getVersion()))

    # Domains

    def domain_names(self) -> tuple[str, ...]:
        return self._connection.ask(lambda c: tuple(sorted(domain.name() for domain in c.listAllDomains())))

    def find_domain(self, name: str) -> Domain:
        try:
            return self._connection.ask(lambda c: self._domain(c, c.lookupByName(name)))
        except NotFoundError:
            raise NotFoundError("domain", name, self.domain_names()) from None

    def domain(self, uuid: str) -> Domain:
        return self._connection.ask(lambda c: self._domain(c, c.lookupByUUIDString(uuid)))

    def _domain(self, c: Any, domain: Any) -> Domain:
        state, reason = domain.state()
        persistent, active = bool(domain.isPersistent()), bool(domain.isActive())
        live = xml.parse(domain.XMLDesc(0)) if active else None
        inactive = xml.parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if persistent else None
        first = live if live is not None else inactive

        def path_of(pool: str, volume: str) -> str | None:
            return volume_path(c, pool, volume)

        return Domain(
            name=domain.name(),
            uuid=domain.UUIDString(),
            state=_STATES.get(state, DomainState.OTHER),
            io_error=(state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR),
            managed_save=persistent and bool(domain.hasManagedSaveImage()),
            persistent=persistent,
            live=() if live is None else xml.disks(live, path_of),
            inactive=() if inactive is None else xml.disks(inactive, path_of),
            snapshots=tuple(unless_unsupported(domain.snapshotListNames)),
            checkpoints=checkpoints.records(domain),
            live_nvram=None if live is None else xml.nvram(live),
            inactive_nvram=None if inactive is None else xml.nvram(inactive),
            tpm=None if first is None else xml.tpm(first, _TPM_STATE + domain.UUIDString()),
            job="backup" if active and export.described(domain) else "",
            marker=None if first is None else xml.marker(first),
            marked=() if first is None else xml.marked(first),
            tags=() if first is None else metadata.tags(first),
        )

    def setup(self) -> Setup:
        return setup.read(self._connection)

    def survey(self) -> Survey:
        return fleet.survey(self._connection)

    def counters(self) -> Mapping[DiskKey, Counters]:
        return fleet.counters(self._connection)

    def opened(self, uuid: str) -> frozenset[str]:
        return opened.images(self._connection, uuid)

    def paths_in_use(self, *, besides: str, ours: Collection[str] = (), certain: bool = True) -> Mapping[str, str]:
        return self._connection.ask(lambda c: usage.by_domains(c, besides) | usage.by_volumes(c, ours, certain=certain))

    def inactive_images(self, *, besides: str) -> tuple[InactiveImage, ...]:
        return self._connection.ask(lambda c: tuple(usage.inactive_images(c, besides)))

    def set_marker(self, uuid: str, move: str | None, disks: Sequence[DiskPlan] = ()) -> None:
        try:
            self._connection.ask(lambda c: metadata.write_marker(c.lookupByUUIDString(uuid), move, disks))
        except HypervisorError as error:
            # Removing what isn't there is this error in libvirt.
            if move is not None or error.number != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                raise

    def redirect_snapshots(self, uuid: str, moved: Mapping[str, str]) -> None:
        snapshots.redirect(self._connection, uuid, moved)

    def set_sources(
        self,
        uuid: str,
        sources: Mapping[str, tuple[str, str]],
        *,
        running: bool,
        keys: Mapping[str, Secret | None] = MappingProxyType({}),
        slices: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        def define(c: Any) -> None:
            domain = c.lookupByUUIDString(uuid)
            if bool(domain.isActive()) != running:
                raise HypervisorError("the domain was started or stopped meanwhile", remedy="look again")
            flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
            c.defineXML(xml.with_sources(domain.XMLDesc(flags), sources, keys, slices))

        self._connection.ask(define)

    def suspend(self, uuid: str) -> None:
        self._connection.ask(lambda c: c.lookupByUUIDString(uuid).suspend())

    def resume(self, uuid: str) -> None:
        try:
            self._connection.ask(lambda c: c.lookupByUUIDString(uuid).resume())
        except HypervisorError:
            if self.domain(uuid).state is not DomainState.RUNNING:  # somebody else may have been quicker
                raise

    def lost_bitmaps(self, uuid: str) -> Mapping[str, Collection[str]]:
        return self._connection.ask(lambda c: checkpoints.lost(c.lookupByUUIDString(uuid)))

    def forget_checkpoint(self, uuid: str, name: str, targets: Collection[str]) -> None:
        checkpoints.forget(self._connection, uuid, name, targets)

    def change_medium(self, uuid: str, target: str, path: str, format_: str, *, live: bool, config: bool) -> None:
        media.change(self._connection, uuid, target, path, format_, live=live, config=config)

    # The guest's agent

    def agent(self, uuid: str, seconds: float) -> Agent:
        return agent.state(self._connection, uuid, seconds)

    def trim(self, uuid: str, seconds: float) -> None:
        agent.trim(self._connection, uuid, seconds)

    def freeze(self, uuid: str, seconds: float) -> int:
        return agent.freeze(self._connection, uuid, seconds)

    def thaw(self, uuid: str, seconds: float) -> int:
        return agent.thaw(self._connection, uuid, seconds)

    def secret(self, secret: Secret) -> bytes:
        return secrets.value(self._connection, secret)

    def secret_state(self, secret: Secret) -> SecretState:
        return secrets.state(self._connection, secret)

    # Pools and volumes

    def pools(self) -> tuple[Pool, ...]:
        return self._connection.ask(
            lambda c: tuple(sorted((pool_record(p) for p in c.listAllStoragePools()), key=lambda p: p.name))
        )

    def refresh_pool(self, pool: str) -> None:
        self._connection.ask(lambda c: c.storagePoolLookupByName(pool).refresh())

    def volume_names(self, pool: str) -> frozenset[str]:
        return self._connection.ask(lambda c: volume_names(c, pool))

    def volume_at(self, path: str) -> Volume | None:
        with suppress(NotFoundError):
            return self._connection.ask(lambda c: volume_record(*find(c, path)))
        return None

    def create_volume(self, spec: VolumeSpec) -> Volume:
        return storage.make(self._connection, spec)

    def delete_volume(self, pool: str, name: str, path: str) -> None:
        def delete(c: Any) -> None:
            found = c.storagePoolLookupByName(pool)
            volume = found.storageVolLookupByName(name)
            # The pool may have been defined anew, on another folder.
            there = volume_record(found, volume).path
            if location.identity(there) != location.identity(path):
                raise HypervisorError(f"pool {pool} has {name} at {there}, not at {path}")
            volume.delete()

        with suppress(NotFoundError):
            self._connection.ask(delete)

    # Block jobs

    def start_copy(self, uuid: str, target: str, destination: VolumeSpec, options: CopyOptions) -> None:
        jobs.start_copy(self._connection, uuid, target, destination, options)

    def job(self, uuid: str, target: str) -> Job | None:
        return jobs.job(self._connection, uuid, target)

    def writes(self, uuid: str, target: str) -> tuple[int, int]:
        return jobs.writes(self._connection, uuid, target)

    def tuning(self, uuid: str, target: str) -> Tuning:
        return throttle.read(self._connection, uuid, target)

    def set_tuning(self, uuid: str, target: str, tuning: Tuning) -> None:
        throttle.write(self._connection, uuid, target, tuning)

    def set_bandwidth(self, uuid: str, target: str, bandwidth: int | None) -> None:
        jobs.set_bandwidth(self._connection, uuid, target, bandwidth)

    def request_pivot(self, uuid: str, target: str) -> None:
        jobs.request_pivot(self._connection, uuid, target)

    def lay_over(self, uuid: str, overlays: Mapping[str, VolumeSpec]) -> None:
        jobs.lay_over(self._connection, uuid, overlays)

    def begin_merge(self, uuid: str, target: str) -> None:
        jobs.begin_merge(self._connection, uuid, target)

    def cancel_copy(self, uuid: str, target: str) -> None:
        try:
            jobs.cancel(self._connection, uuid, target)
        except HypervisorError:
            if self.domain(uuid).live and self.job(uuid, target) is not None:
                raise

    def begin_export(self, uuid: str, scratch: Mapping[str, str], socket: str) -> None:
        export.begin(self._connection, uuid, scratch, socket)

    def end_export(self, uuid: str, socket: str) -> None:
        export.end(self._connection, uuid, socket)

    def exports(self, uuid: str, socket: str) -> bool:
        return export.is_there(self._connection, uuid, socket)

    def events(self, uuid: str) -> AbstractContextManager[EventQueue]:
        return subscribed(self._connection, uuid)
