"""`Hypervisor` on the fake world."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from svmove import location
from svmove.errors import HypervisorError, NotFoundError, NotReadyError
from svmove.events import Event, EventKind
from svmove.fleet import Counters, DiskKey
from svmove.health import Setup
from svmove.model import (
    Checkpoint,
    Disk,
    Domain,
    DomainState,
    InactiveImage,
    Job,
    Mirror,
    SourceKind,
    Tuning,
    Versions,
    Volume,
)
from svmove.retries import Retry
from svmove.survey import Survey
from svmove.units import KiB
from svmove.volumes import NVRAM, CopyOptions, VolumeSpec
from tests.fake.agent import FakeAgent
from tests.fake.definition import FakeDefinition
from tests.fake.events import FakeEvents
from tests.fake.faults import counted
from tests.fake.storage import FakeStorage
from tests.fake.things import BLOCK, BLOCKS, Copying, Drive
from tests.fake.world import QEMU

WRITE_SECONDS = 0.002  # that each write of the guest takes


class FakeHypervisor(FakeStorage, FakeDefinition, FakeAgent):
    uri = "fake:///"

    def retried(self) -> tuple[Retry, ...]:
        found, self.world.retries = tuple(self.world.retries), []
        return found

    @counted
    def versions(self) -> Versions:
        return Versions(libvirt=9_000_000, qemu=7_002_000)

    @counted
    def domain_names(self) -> tuple[str, ...]:
        return ("web",)

    def find_domain(self, name: str) -> Domain:
        if name != "web":
            raise NotFoundError("domain", name, ("web",))
        return self.domain(self.world.uuid)

    @counted
    def domain(self, uuid: str) -> Domain:
        self._known(uuid)
        world = self.world
        off = world.state is DomainState.OFF
        drives, nvram = [drive for drive in world.drives.values() if drive.target != NVRAM], world.drives.get(NVRAM)
        return Domain(
            name="web",
            uuid=uuid,
            state=world.state,
            io_error=world.io_error,
            persistent=True,
            live=() if off else (*map(self._live, drives), *self._media(live=True)),
            inactive=(
                *(self._disk(drive.target, drive.inactive, None) for drive in drives),
                *self._media(live=False),
            ),
            live_nvram=None if off or nvram is None else nvram.path,
            inactive_nvram=None if nvram is None else nvram.inactive,
            checkpoints=tuple(
                Checkpoint(name=name, targets=tuple(sorted(targets))) for name, targets in world.checkpoints.items()
            ),
            job="backup" if world.export else "",
            marker=world.marker,
            marked=world.marked,
        )

    def _media(self, *, live: bool) -> Iterator[Disk]:
        for medium in self.world.media.values():
            yield Disk(
                target=medium.target,
                device="cdrom",
                kind=SourceKind.FILE,
                path=medium.path if live else medium.inactive,
                format="raw",
                read_only=True,
                tray_open=live and medium.tray_open,
            )

    def _live(self, drive: Drive) -> Disk:
        copying, mirror = drive.mirror, None
        if copying is not None:
            # While it pivots, libvirt says ready='pivot'.
            ready = copying.ready and not (copying.pivoting or copying.cancelled)
            ending = copying.pivoting or copying.cancelled
            mirror = Mirror(job=copying.job, path=copying.path, ready=ready, ending=ending)
        return self._disk(drive.target, drive.path, mirror)

    def _disk(self, target: str, path: str, mirror: Mirror | None) -> Disk:
        format_ = self.world.files[path].format if path in self.world.files else "qcow2"
        below = self.world.files[path].chain()[1:] if path in self.world.files else []
        chain = tuple(name for file in below for name, other in self.world.files.items() if other is file)
        return Disk(
            target=target,
            device="disk",
            kind=SourceKind.NETWORK if location.is_network(path) else SourceKind.FILE,
            path=path,
            format=format_,
            luks=self.world.files[path].luks if path in self.world.files else None,
            mirror=mirror,
            chain=chain,
            chain_formats=tuple(self.world.files[name].format for name in chain),
            discard="unmap",
            direct=path not in self.world.unwritten,
        )

    def setup(self) -> Setup:
        return Setup(pool_types=frozenset({"dir"}), qemu_user=(QEMU.uid, QEMU.gid))

    @counted
    def survey(self) -> Survey:
        found = self.domain(self.world.uuid)
        pools = {f"/pools/{name}": name for name in ("fast", "slow")}
        volumes = [
            Volume(
                pool=pools[folder],
                name=name,
                path=path,
                capacity=BLOCKS * BLOCK,
                allocation=BLOCKS * BLOCK,
                format=file.format,
            )
            for path, file in self.world.files.items()
            for folder, _, name in [path.rpartition("/")]
            if folder in pools
        ]
        alone = replace(found, inactive=()) if found.live else found
        return Survey(domains=(alone,), pools=self.pools(), volumes=tuple(volumes))

    @counted
    def counters(self) -> Mapping[DiskKey, Counters]:
        if self.world.state is DomainState.OFF:
            return {}
        return {
            (self.world.uuid, target): Counters(
                reads=0, writes=drive.requests, read_seconds=0.0, write_seconds=drive.requests * WRITE_SECONDS
            )
            for target, drive in self.world.drives.items()
        }

    @counted
    def opened(self, uuid: str) -> frozenset[str]:
        held = self.world.held()
        paths = (path for path, file in self.world.files.items() if file.identity in held)
        return frozenset(location.identity(path) for path in paths if location.is_network(path))

    @counted
    def paths_in_use(self, *, besides: str, ours: Collection[str] = (), certain: bool = True) -> Mapping[str, str]:
        return dict(self.world.used_by)

    @counted
    def inactive_images(self, *, besides: str) -> tuple[InactiveImage, ...]:
        return self.world.inactive_images

    @counted
    def start_copy(self, uuid: str, target: str, destination: VolumeSpec, options: CopyOptions) -> None:
        self._known(uuid)
        drive = self._drive(target)
        if drive.mirror is not None:
            raise HypervisorError(f"disk '{target}' already in active block job")
        if destination.path not in self.world.files:
            raise HypervisorError(f"{destination.path}: No such file or directory")
        file = self.world.files[destination.path]
        if file.luks != destination.luks:
            raise HypervisorError(f"{destination.path}: Volume is not in LUKS format")
        self.world.options.append(options)
        drive.mirror = Copying(
            path=destination.path,
            file=file,
            cap=options.bandwidth,
            per_tick=self.world.per_tick,
            synchronous=options.synchronous,
        )
        if options.shallow:
            drive.mirror.dirty = set(drive.file.own)

    @counted
    def lay_over(self, uuid: str, overlays: Mapping[str, VolumeSpec]) -> None:
        self._known(uuid)
        for target, spec in overlays.items():
            drive, file = self._drive(target), self.world.files[spec.path]
            if drive.mirror is not None or file.below is not drive.file:
                raise HypervisorError(f"{spec.path} is no overlay of {drive.path}")
            drive.file, drive.path, drive.inactive = file, spec.path, spec.path

    @counted
    def begin_merge(self, uuid: str, target: str) -> None:
        self._known(uuid)
        drive = self._drive(target)
        below = drive.file.below
        if drive.mirror is not None or below is None:
            raise HypervisorError(f"disk '{target}' can't be committed")
        path = next(path for path, file in self.world.files.items() if file is below)
        drive.mirror = Copying(path=path, file=below, job="active-commit", dirty=set(drive.file.own))

    @counted
    def job(self, uuid: str, target: str) -> Job | None:
        self._known(uuid)
        if target in self.world.media:
            return None
        mirror = self._drive(target).mirror
        if mirror is None:
            return None
        return Job(kind=mirror.job, done=mirror.end - len(mirror.dirty) * BLOCK, end=mirror.end)

    @counted
    def writes(self, uuid: str, target: str) -> tuple[int, int]:
        self._known(uuid)
        drive = self._drive(target)
        return drive.requests, drive.requests * 4 * KiB

    @counted
    def tuning(self, uuid: str, target: str) -> Tuning:
        self._known(uuid)
        drive = self._drive(target)
        return Tuning(limits=dict(drive.limits), group=drive.group)

    @counted
    def set_tuning(self, uuid: str, target: str, tuning: Tuning) -> None:
        self._known(uuid)
        limits = tuning.limits
        for unit in ("bytes", "iops"):
            if f"total_{unit}_sec" in limits and limits.keys() & {f"read_{unit}_sec", f"write_{unit}_sec"}:
                raise HypervisorError("total and read/write can't be used at the same time")
        self._drive(target).limits = dict(limits)

    @counted
    def set_bandwidth(self, uuid: str, target: str, bandwidth: int | None) -> None:
        mirror = self._drive(target).mirror
        if mirror is None:
            raise HypervisorError(f"disk {target} does not have an active block job")
        mirror.cap = bandwidth

    @counted
    def request_pivot(self, uuid: str, target: str) -> None:
        mirror = self._drive(target).mirror
        if mirror is None:
            raise HypervisorError(f"disk {target} does not have an active block job")
        if not mirror.ready:
            raise NotReadyError("block copy still active")
        mirror.pivoting = True

    @counted
    def cancel_copy(self, uuid: str, target: str) -> None:
        if self.world.state is DomainState.OFF:
            return
        mirror = self.world.drives[target].mirror
        if mirror is None:
            return
        if mirror.pivoting:
            raise HypervisorError(f"disk {target} is pivoting")
        mirror.cancelled = True

    @counted
    def suspend(self, uuid: str) -> None:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        self.world.suspended.append(self.world.time)
        self.world.state = DomainState.PAUSED
        for path in self.world.unwritten:
            self.world.pass_time(self.world.unwritten[path])
            self.world.unwritten[path] = 0.0
        self.world.emit(Event(kind=EventKind.PAUSED))

    @counted
    def resume(self, uuid: str) -> None:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        self.world.go_on()

    @counted
    def begin_export(self, uuid: str, scratch: Mapping[str, str], socket: str) -> None:
        if self.world.export is not None:
            raise HypervisorError("backup already in progress")
        for path in scratch.values():
            if not any(path in files for files in self.world.scratch.values()):
                raise HypervisorError(f"{path}: No such file or directory")
        self.world.export = socket
        for target in scratch:
            drive = self._drive(target)
            drive.frozen = drive.file.content()

    @counted
    def end_export(self, uuid: str, socket: str) -> None:
        if self.world.export == socket:
            self.world.export = None

    @counted
    def exports(self, uuid: str, socket: str) -> bool:
        return self.world.export == socket

    @contextmanager
    def events(self, uuid: str) -> Iterator[FakeEvents]:
        self._subscribe(uuid)
        yield FakeEvents(self.world)

    @counted
    def _subscribe(self, uuid: str) -> None:
        self._known(uuid)
        self.world.events = deque()

    @counted
    def reconnect(self) -> None:
        self.world.reconnects += 1
