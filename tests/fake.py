"""A small honest world: one guest, its disks' bytes, QEMU's open files, block jobs, events, and time.

It is honest where a move could lose data: a file is an object with an identity, a path only names one; QEMU
goes on with the object that it holds; the guest writes whenever it runs; a mirror copies what is dirty; a
pivot takes effect some time after it was asked for, and libvirt's XML some time after that. Whoever deletes
what must not be deleted raises `ViolationError`.

A test makes the world do harm: `world.before["call"]` runs before each call of that name, `world.faults`
strikes at the N-th call of all.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from svmove.errors import HostError, HypervisorError, NotFoundError, NotReadyError, UnverifiedError
from svmove.journal import Journal, Kind, Record
from svmove.model import (
    Disk,
    Domain,
    DomainState,
    Event,
    EventKind,
    Image,
    Job,
    MarkedDisk,
    Mirror,
    Pool,
    Process,
    SourceKind,
    Versions,
    Volume,
)
from svmove.moves import DiskPlan, Plan, VolumeSpec
from svmove.units import GiB, KiB
from tests.builders import NOW, UUID

BLOCK = 64 * KiB
BLOCKS = 4
QEMU = Process(pid=4242, uid=107, gid=107)

P = ParamSpec("P")
R = TypeVar("R")


class CrashError(BaseException):
    """svmove dies here, as by kill -9: nothing of it runs any more, no `finally` either."""


class ViolationError(BaseException):
    """What must never happen has happened."""


@dataclass
class Faults:
    """Strikes at call number `at` (from 1) of all calls into the world, before its effect or after it."""

    at: int | None = None
    after_effect: bool = False
    make: Callable[[str, str], BaseException] = lambda _room, call: CrashError(call)
    calls: list[str] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)  # of these calls
    struck: str | None = None
    dead: bool = False

    def enter(self, room: str, call: str) -> bool:
        """Whether this is the call that is to fail once it has had its effect."""
        if self.dead:
            raise CrashError(call)
        self.calls.append(call)
        self.rooms.append(room)
        if len(self.calls) != self.at:
            return False
        if not self.after_effect:
            self.strike(room, call)
        return True

    def strike(self, room: str, call: str) -> None:
        self.struck = call
        error = self.make(room, call)
        self.dead = isinstance(error, CrashError)
        raise error


def _counted(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    @wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        world: World = self.world
        name = method.__name__
        strikes = world.faults.enter(self.room, name)
        if (harm := world.before.get(name)) is not None:
            harm()
        result = method(self, *args, **kwargs)
        if strikes:
            world.faults.strike(self.room, name)
        return result

    return call


@dataclass(eq=False)
class File:
    identity: str
    blocks: list[int] = field(default_factory=lambda: [0] * BLOCKS)
    format: str = "qcow2"


@dataclass(eq=False)
class Copying:
    path: str
    file: File
    dirty: set[int] = field(default_factory=lambda: set(range(BLOCKS)))
    end: int = BLOCKS * BLOCK
    ready: bool = False
    pivoting: bool = False
    cancelled: bool = False
    per_tick: int = 2  # blocks; 0: it hangs
    cap: int | None = None  # one below a block per second stops it
    pivot_error: str | None = None


@dataclass(eq=False)
class Drive:
    """One disk of the guest."""

    target: str
    path: str  # what libvirt says live
    inactive: str
    file: File  # what QEMU writes to
    mirror: Copying | None = None
    # After a pivot libvirt has work to do: let go of the old file, write the inactive XML.
    old: File | None = None
    frozen: list[int] | None = None  # as the export shows it
    truth: list[int] = field(default_factory=list)  # all that the guest ever wrote


class World:
    """All that there is beside svmove, which is why it outlives a crash of it."""

    def __init__(self, *targets: str, uuid: str = UUID) -> None:
        self.uuid = uuid
        self.time = 0.0
        self.faults = Faults()
        self.before: dict[str, Callable[[], None]] = {}
        self._identities = itertools.count(1)
        self.files: dict[str, File] = {}
        self.state = DomainState.RUNNING
        self.io_error = False
        self.writes = True  # the guest does, whenever it runs
        self.written = itertools.count(1000)
        self.suspended: list[float] = []  # when each standstill began
        self.pauses: list[float] = []
        self.marker: str | None = None
        self.marked: tuple[MarkedDisk, ...] = ()
        self.export: str | None = None
        self.scratch: dict[str, set[str]] = {}
        self.free = 100 * GiB
        self.daemon_is_dead = False  # for QEMU's monitor; calls fail by `before` or `faults`
        self.cut: set[str] = set()  # paths of truncated files
        self.hangs = False  # the destination's storage
        self.held_by: dict[str, int] = {}  # identity → pid of another process
        self.used_by: dict[str, str] = {}  # path → another domain
        self.events: deque[Event] | None = None
        self.reconnects = 0
        self.xml_lags = False  # libvirt never writes the inactive XML after a pivot
        self.drives = {target: self._drive(target) for target in targets or ("vda",)}

    def _drive(self, target: str) -> Drive:
        path = f"/pools/slow/web-{target}.qcow2"
        file = self.make_file(path)
        file.blocks = [number + 1 for number in range(BLOCKS)]
        return Drive(target=target, path=path, inactive=path, file=file, truth=list(file.blocks))

    # What a test looks at or does

    def make_file(self, path: str) -> File:
        self.files[path] = File(identity=f"file-{next(self._identities)}")
        return self.files[path]

    def stop_guest(self) -> None:
        self.state = DomainState.OFF
        self.export = None
        for drive in self.drives.values():
            drive.mirror = drive.old = None
            drive.path = drive.inactive
            drive.file = self.files[drive.inactive]
        self.emit(Event(kind=EventKind.STOPPED))

    def fail_mirror(self, target: str, reason: str | None) -> None:
        """QEMU's event with the reason comes first, then libvirt's."""
        self.drives[target].mirror = None
        if reason is not None:
            self.emit(Event(kind=EventKind.REASON, target=target, text=reason))
        self.emit(Event(kind=EventKind.FAILED, target=target))

    def emit(self, event: Event) -> None:
        if self.events is not None:
            self.events.append(event)

    def held(self) -> set[str]:
        """The identities of the files that QEMU has open."""
        if self.state is DomainState.OFF:
            return set()
        found = set()
        for drive in self.drives.values():
            files = [drive.file, drive.old, drive.mirror.file if drive.mirror else None]
            found |= {file.identity for file in files if file is not None}
        return found

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        for drive in self.drives.values():
            self._settle(drive)
            self._mirror(drive)
        if self.state is DomainState.RUNNING and self.writes:
            self._write()

    def _write(self) -> None:
        value = next(self.written)
        for drive in self.drives.values():
            block = value % BLOCKS
            drive.file.blocks[block] = drive.truth[block] = value
            if drive.mirror is not None:
                drive.mirror.dirty.add(block)
                drive.mirror.end += BLOCK

    def _mirror(self, drive: Drive) -> None:
        mirror = drive.mirror
        if mirror is None:
            return
        if mirror.cancelled:
            drive.mirror = None
            self.emit(Event(kind=EventKind.CANCELED, target=drive.target))
            return
        if mirror.pivoting and mirror.pivot_error is not None:
            self.fail_mirror(drive.target, mirror.pivot_error)
            return
        blocks = 0 if mirror.cap is not None and mirror.cap < BLOCK else mirror.per_tick
        for block in sorted(mirror.dirty)[:blocks]:
            mirror.file.blocks[block] = drive.file.blocks[block]
            mirror.dirty.remove(block)
        if mirror.pivoting and not mirror.dirty:
            drive.old, drive.file, drive.path, drive.mirror = drive.file, mirror.file, mirror.path, None
            self.emit(Event(kind=EventKind.COMPLETED, target=drive.target))
        elif not mirror.dirty and not mirror.ready:
            mirror.ready = True
            self.emit(Event(kind=EventKind.READY, target=drive.target))

    def _settle(self, drive: Drive) -> None:
        if drive.old is not None:
            drive.old = None
            if not self.xml_lags:
                drive.inactive = drive.path

    def check_deletion(self, path: str) -> None:
        file = self.files[path]
        if file.identity in self.held():
            raise ViolationError(f"{path} was deleted, but QEMU holds it")
        for drive in self.drives.values():
            named = {drive.inactive} | (set() if self.state is DomainState.OFF else {drive.path})
            if path in named and self.files.get(path) is file:
                raise ViolationError(f"{path} was deleted, but the guest's XML names it")

    def check_copies(self) -> None:
        """Each disk's file has a name, and all that the guest ever wrote."""
        for drive in self.drives.values():
            if drive.file not in self.files.values():
                raise ViolationError(f"{drive.target}: the guest's file has lost its name")
            if drive.file.blocks != drive.truth:
                raise ViolationError(f"{drive.target}: the guest has lost what it wrote")


def refuse(text: str) -> Callable[[], None]:
    """For `World.before`: libvirt says no."""

    def harm() -> None:
        raise HypervisorError(text)

    return harm


class FakeClock:
    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> float:
        return NOW + self.world.time

    def monotonic(self) -> float:
        return self.world.time

    def sleep(self, seconds: float) -> None:
        self.world.pass_time(seconds)


class FakeEvents:
    # Finer than all that svmove waits for, coarse enough to get through 30 s quickly.
    _STEP = 0.05
    room = "virt"

    def __init__(self, world: World) -> None:
        self.world = world

    @_counted
    def next(self, timeout: float) -> Event | None:
        queue, end = self.world.events, self.world.time + timeout
        assert queue is not None
        while not queue and self.world.time < end:
            # Never less than a microsecond, or rounding would stop the time.
            self.world.pass_time(max(min(self._STEP, end - self.world.time), 1e-6))
        return queue.popleft() if queue else None


class FakeHypervisor:
    room = "virt"
    uri = "fake:///"

    def __init__(self, world: World) -> None:
        self.world = world

    def _known(self, uuid: str) -> None:
        if uuid != self.world.uuid:
            raise NotFoundError("domain", uuid)

    def _drive(self, target: str) -> Drive:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        return self.world.drives[target]

    @_counted
    def versions(self) -> Versions:
        return Versions(libvirt=9_000_000, qemu=7_002_000)

    @_counted
    def domain_names(self) -> tuple[str, ...]:
        return ("web",)

    def find_domain(self, name: str) -> Domain:
        if name != "web":
            raise NotFoundError("domain", name, ("web",))
        return self.domain(self.world.uuid)

    @_counted
    def domain(self, uuid: str) -> Domain:
        self._known(uuid)
        world = self.world
        off = world.state is DomainState.OFF
        return Domain(
            name="web",
            uuid=uuid,
            state=world.state,
            io_error=world.io_error,
            persistent=True,
            live=() if off else tuple(self._live(drive) for drive in world.drives.values()),
            inactive=tuple(self._disk(drive.target, drive.inactive, None) for drive in world.drives.values()),
            job="backup" if world.export else "",
            marker=world.marker,
            marked=world.marked,
        )

    def _live(self, drive: Drive) -> Disk:
        copying, mirror = drive.mirror, None
        if copying is not None:
            # While it pivots, libvirt says ready='pivot'.
            ready = copying.ready and not (copying.pivoting or copying.cancelled)
            ending = copying.pivoting or copying.cancelled
            mirror = Mirror(job="copy", path=copying.path, ready=ready, ending=ending)
        return self._disk(drive.target, drive.path, mirror)

    def _disk(self, target: str, path: str, mirror: Mirror | None) -> Disk:
        format_ = self.world.files[path].format if path in self.world.files else "qcow2"
        return Disk(target=target, device="disk", kind=SourceKind.FILE, path=path, format=format_, mirror=mirror)

    @_counted
    def paths_in_use(self, *, besides: str) -> Mapping[str, str]:
        return dict(self.world.used_by)

    @_counted
    def pools(self) -> tuple[Pool, ...]:
        return tuple(
            Pool(name=name, type="dir", active=True, path=f"/pools/{name}", capacity=100 * GiB, available=50 * GiB)
            for name in ("fast", "slow")
        )

    @_counted
    def refresh_pool(self, pool: str) -> None:
        pass

    @_counted
    def volume_names(self, pool: str) -> frozenset[str]:
        return frozenset(path.rpartition("/")[2] for path in self.world.files if path.startswith(f"/pools/{pool}/"))

    @_counted
    def volume_at(self, path: str) -> Volume | None:
        if path not in self.world.files:
            return None
        _, _, pool, name = path.split("/", 3)
        return Volume(pool=pool, name=name, path=path, capacity=BLOCKS * BLOCK, allocation=BLOCKS * BLOCK)

    @_counted
    def create_volume(self, spec: VolumeSpec) -> Volume:
        if spec.path in self.world.files:
            raise HypervisorError(f"storage volume name '{spec.name}' already in use.")
        self.world.make_file(spec.path).format = spec.format
        return Volume(pool=spec.pool, name=spec.name, path=spec.path, capacity=spec.capacity, allocation=0)

    @_counted
    def delete_volume(self, pool: str, name: str, path: str) -> None:
        if path != f"/pools/{pool}/{name}":
            raise HypervisorError(f"pool {pool} has {name} elsewhere")
        if path in self.world.files:
            self.world.check_deletion(path)
            del self.world.files[path]
            self.world.check_copies()

    @_counted
    def start_copy(
        self,
        uuid: str,
        target: str,
        destination: VolumeSpec,
        *,
        bandwidth: int | None,
        granularity: int | None,
        buffer: int,
    ) -> None:
        self._known(uuid)
        drive = self._drive(target)
        if drive.mirror is not None:
            raise HypervisorError(f"disk '{target}' already in active block job")
        if destination.path not in self.world.files:
            raise HypervisorError(f"{destination.path}: No such file or directory")
        file = self.world.files[destination.path]
        drive.mirror = Copying(path=destination.path, file=file, cap=bandwidth)

    @_counted
    def job(self, uuid: str, target: str) -> Job | None:
        self._known(uuid)
        mirror = self._drive(target).mirror
        if mirror is None:
            return None
        return Job(kind="copy", done=mirror.end - len(mirror.dirty) * BLOCK, end=mirror.end)

    @_counted
    def set_bandwidth(self, uuid: str, target: str, bandwidth: int | None) -> None:
        mirror = self._drive(target).mirror
        if mirror is None:
            raise HypervisorError(f"disk {target} does not have an active block job")
        mirror.cap = bandwidth

    @_counted
    def request_pivot(self, uuid: str, target: str) -> None:
        mirror = self._drive(target).mirror
        if mirror is None:
            raise HypervisorError(f"disk {target} does not have an active block job")
        if not mirror.ready:
            raise NotReadyError("block copy still active")
        mirror.pivoting = True

    @_counted
    def cancel_copy(self, uuid: str, target: str) -> None:
        if self.world.state is DomainState.OFF:
            return
        mirror = self.world.drives[target].mirror
        if mirror is None:
            return
        if mirror.pivoting:
            raise HypervisorError(f"disk {target} is pivoting")
        mirror.cancelled = True

    @_counted
    def suspend(self, uuid: str) -> None:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        self.world.suspended.append(self.world.time)
        self.world.state = DomainState.PAUSED
        self.world.emit(Event(kind=EventKind.PAUSED))

    @_counted
    def resume(self, uuid: str) -> None:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        if self.world.state is DomainState.PAUSED and self.world.suspended:
            self.world.pauses.append(self.world.time - self.world.suspended[-1])
        self.world.state, self.world.io_error = DomainState.RUNNING, False

    @_counted
    def begin_export(self, uuid: str, scratch: Mapping[str, str], socket: str) -> None:
        if self.world.export is not None:
            raise HypervisorError("backup already in progress")
        for path in scratch.values():
            if not any(path in files for files in self.world.scratch.values()):
                raise HypervisorError(f"{path}: No such file or directory")
        self.world.export = socket
        for target in scratch:
            drive = self._drive(target)
            drive.frozen = list(drive.file.blocks)

    @_counted
    def end_export(self, uuid: str, socket: str) -> None:
        if self.world.export == socket:
            self.world.export = None

    @_counted
    def exports(self, uuid: str, socket: str) -> bool:
        return self.world.export == socket

    @_counted
    def set_marker(self, uuid: str, move: str | None, disks: Sequence[DiskPlan] = ()) -> None:
        self._known(uuid)
        self.world.marker = move
        self.world.marked = tuple(
            MarkedDisk(
                target=disk.target,
                source=disk.source,
                source_format=disk.source_format,
                destination=disk.destination.path,
                destination_format=disk.destination.format,
                pool=disk.destination.pool,
                volume=disk.destination.name,
            )
            for disk in disks
        )

    @_counted
    def set_sources(self, uuid: str, sources: Mapping[str, tuple[str, str]], *, running: bool) -> None:
        self._known(uuid)
        off = self.world.state is DomainState.OFF
        if off is running:
            raise HypervisorError("the domain was started or stopped meanwhile")
        for target, (path, _format) in sources.items():
            drive = self.world.drives[target]
            drive.inactive = path
            if off:
                drive.path, drive.file = path, self.world.files[path]

    @contextmanager
    def events(self, uuid: str) -> Iterator[FakeEvents]:
        self._subscribe(uuid)
        yield FakeEvents(self.world)

    @_counted
    def _subscribe(self, uuid: str) -> None:
        self._known(uuid)
        self.world.events = deque()

    @_counted
    def reconnect(self) -> None:
        self.world.reconnects += 1


class FakeHost:
    room = "host"

    def __init__(self, world: World) -> None:
        self.world = world

    @_counted
    def can_see(self, process: Process) -> bool:
        return True

    @_counted
    def image(self, path: str, format_: str) -> Image:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        size = BLOCKS * BLOCK
        return Image(format=format_, virtual_bytes=size, allocated_bytes=size, cluster_bytes=65536, compat="1.1")

    @_counted
    def process(self, uuid: str) -> Process | None:
        return None if self.world.state is DomainState.OFF else QEMU

    @_counted
    def go_on(self, process: Process) -> bool:
        if not self.world.daemon_is_dead:
            raise HostError("the monitor does not answer")  # libvirt has it
        self.world.state = DomainState.RUNNING
        return True

    @_counted
    def holds(self, process: Process, path: str) -> bool:
        file = self.world.files.get(path)
        return file is not None and file.identity in self.world.held()

    @_counted
    def holders(self, path: str) -> tuple[int, ...]:
        file = self.world.files.get(path)
        if file is None:
            return ()
        qemu = (QEMU.pid,) if file.identity in self.world.held() else ()
        other = self.world.held_by.get(file.identity)
        return qemu + ((other,) if other is not None else ())

    @_counted
    def identity(self, path: str) -> str | None:
        return self.world.files[path].identity if path in self.world.files else None

    @_counted
    def allocated(self, path: str) -> int:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        return sum(BLOCK for block in self.world.files[path].blocks if block)

    @_counted
    def size(self, path: str) -> int:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        return BLOCKS * BLOCK if path not in self.world.cut else 0

    @_counted
    def is_blank(self, path: str, format_: str, made_after: float) -> bool:
        return path in self.world.files and not any(self.world.files[path].blocks)

    @_counted
    def answers(self, path: str, seconds: float) -> bool:
        if self.world.hangs:
            self.world.pass_time(seconds)
        return not self.world.hangs

    @_counted
    def free(self, path: str) -> int:
        return self.world.free

    @_counted
    def make_scratch(self, folder: str, files: Mapping[str, int], owner: Process) -> None:
        self.world.scratch[folder] = set(files)

    @_counted
    def remove_scratch(self, folder: str) -> None:
        self.world.scratch.pop(folder, None)

    @_counted
    def compare(
        self,
        source: str,
        format_: str,
        socket: str,
        export: str,
        offset: int,
        length: int,
        advanced: Callable[[int], bool],
    ) -> int | None:
        frozen = self.world.drives[export].frozen
        for at in range(offset, offset + length, BLOCK):
            if self.world.export != socket or source not in self.world.files or frozen is None:
                raise HostError("qemu-img compare: Failed to read")
            if self.world.files[source].identity in self.world.held():
                raise HostError(f"qemu-img compare: Is another process using the image [{source}]?")
            if not advanced(min(BLOCK, offset + length - at)):
                raise UnverifiedError("the verification was stopped")
            if self.world.files[source].blocks[at // BLOCK] != frozen[at // BLOCK]:
                return at
        return None


class FaultyJournal(Journal):
    """The real journal, which the world's faults strike as well."""

    room = "journal"

    def __init__(self, url: str, world: World) -> None:
        self.world = world
        super().__init__(url)

    @_counted
    def begin(self, plan: Plan, uri: str, phase: str) -> Record:
        return super().begin(plan, uri, phase)

    @_counted
    def write(
        self,
        move: str,
        at: float,
        phase: str,
        kind: Kind,
        what: str,
        target: str | None,
        data: Mapping[str, Any],
    ) -> None:
        super().write(move, at, phase, kind, what, target, data)

    @_counted
    def enter(self, move: str, at: float, phase: str, *, left: str, ended: bool, data: Mapping[str, Any]) -> None:
        super().enter(move, at, phase, left=left, ended=ended, data=data)

    @_counted
    def read(self, move: str) -> Record:
        return super().read(move)
