"""What there is beside svmove, which is why it outlives a crash of it."""

import itertools
import math
from collections import deque
from collections.abc import Callable

from svmove.errors import HypervisorError, SvmoveError
from svmove.events import Event, EventKind
from svmove.location import Secret, SecretState
from svmove.model import Agent, DomainState, InactiveImage, MarkedDisk, Pool, Process
from svmove.retries import Retry
from svmove.units import GiB
from svmove.volumes import CopyOptions
from tests.builders import UUID
from tests.fake.faults import Faults, ViolationError
from tests.fake.things import BLOCK, BLOCKS, Drive, File, Medium

QEMU = Process(pid=4242, uid=107, gid=107)


class World:
    """All that there is beside svmove, which is why it outlives a crash of it."""

    def __init__(self, *targets: str, uuid: str = UUID) -> None:
        self.uuid = uuid
        self.time = 0.0
        self.retries: list[Retry] = []
        self.remote = False  # it is reached over a network
        self.wakes, self.woken = math.inf, False
        self.faults = Faults()
        self.before: dict[str, Callable[[], None]] = {}
        self._identities = itertools.count(1)
        self.files: dict[str, File] = {}
        self.state = DomainState.RUNNING
        self.io_error = False
        self.writes = True  # the guest does, whenever it runs
        self.writes_at_once = 1  # to each disk, whenever time passes
        self.own_limits: dict[str, int] = {}  # of each disk
        self.per_tick = 2  # blocks that a mirror copies meanwhile
        self.written = itertools.count(1000)
        self.suspended: list[float] = []  # when each standstill began
        self.pauses: list[float] = []
        self.marker: str | None = None
        self.marked: tuple[MarkedDisk, ...] = ()
        self.secrets: dict[Secret, SecretState] = {}  # of the store
        self.rekeyed: set[str] = set()  # paths that their secret, whose value was changed, does not open any more
        self.export: str | None = None
        self.scratch: dict[str, set[str]] = {}
        self.free = 100 * GiB
        self.allocates = True  # its file systems can
        self.allocated: dict[str, int] = {}  # identity → bytes that have room
        self.checkpoints: dict[str, set[str]] = {}  # name → targets
        self.lost: set[str] = set()  # checkpoints whose bitmaps a pivot does not carry over
        self.daemon_is_dead = False  # for QEMU's monitor; calls fail by `before` or `faults`
        self.cut: set[str] = set()  # paths of truncated files
        self.hangs = False  # the destination's storage
        # Of each disk that is opened through the page cache: the seconds that writing what lies there takes.
        self.unwritten: dict[str, float] = {}
        self.hung_until = 0.0  # likewise
        self.write_takes = 0.0  # seconds, there
        self.options: list[CopyOptions] = []  # of each copy that was begun
        self.cluster_bytes = 65536  # of every image
        self.held_by: dict[str, int] = {}  # identity → pid of another process
        self.locked: set[str] = set()  # identities
        self.sliced: dict[str, int] = {}  # path → the bytes that the XML of the next start shows of it
        self.rooms: dict[str, int] = {}  # path of an image on the network → what its pool still takes
        self.larger: dict[str, int] = {}  # path → bytes of a volume that has more than a disk
        self.pools: dict[str, Pool] = {
            name: Pool(name=name, type="dir", active=True, path=f"/pools/{name}", available=50 * GiB)
            for name in ("fast", "slow")
        }
        self.used_by: dict[str, str] = {}  # path → another domain
        self.inactive_images: tuple[InactiveImage, ...] = ()
        self.events: deque[Event] | None = None
        self.reconnects = 0
        self.agent = Agent.ANSWERS
        self.frozen = False  # the guest's file systems: it runs, and does not write
        self.freeze_takes = 0.0
        self.trim_takes = 0.0
        self.busy_until = 0.0  # the agent, which does one thing after the other
        self.unused: tuple[int, ...] = ()  # blocks that a trim frees
        self.xml_lags = False  # libvirt never writes the inactive XML after a pivot
        disks = [target for target in targets or ("vda",) if not target.startswith("sd")]
        self.drives = {target: self._drive(target) for target in disks}
        self.media = {target: self._medium(target) for target in targets if target.startswith("sd")}

    def _drive(self, target: str) -> Drive:
        path = f"/pools/slow/web-{target}.qcow2"
        file = self.make_file(path)
        file.blocks = [number + 1 for number in range(BLOCKS)]
        return Drive(target=target, path=path, inactive=path, file=file, truth=list(file.blocks))

    def lay_on_a_base(self, target: str) -> None:
        """The disk has two of its blocks itself, and two are in the file below it."""
        drive = self.drives[target]
        base = self.make_file(drive.path.replace(f"web-{target}", f"base-{target}"))
        base.blocks = [value if block % 2 else 0 for block, value in enumerate(drive.file.blocks)]
        drive.file.blocks = [0 if block % 2 else value for block, value in enumerate(drive.file.blocks)]
        drive.file.own, drive.file.below = {0, 2}, base

    def _medium(self, target: str) -> Medium:
        path = f"/pools/slow/{target}.iso"
        file = self.make_file(path)
        file.blocks, file.format = [7] * BLOCKS, "raw"
        return Medium(target=target, path=path, inactive=path, file=file, truth=list(file.blocks))

    # What a test looks at or does

    def make_file(self, path: str) -> File:
        self.files[path] = File(identity=f"file-{next(self._identities)}")
        return self.files[path]

    def stop_guest(self) -> None:
        self.state = DomainState.OFF
        self.export = None
        self.frozen = False
        for drive in self.drives.values():
            drive.mirror = drive.old = None
            drive.path = drive.inactive
            drive.file = self.files[drive.inactive]
        self._insert()
        self.emit(Event(kind=EventKind.STOPPED))

    def _insert(self) -> None:
        """The drives have what the XML of the next start names."""
        for medium in self.media.values():
            medium.path, medium.file = medium.inactive, self.files.get(medium.inactive or "")
            medium.locked = medium.tray_open = False

    def start_guest(self) -> None:
        """From what its XML names; as QEMU does, it fails at a lock."""
        if any(self.files[drive.inactive].identity in self.locked for drive in self.drives.values()):
            raise HypervisorError('Failed to get "write" lock')
        for drive in self.drives.values():
            drive.path, drive.file = drive.inactive, self.files[drive.inactive]
        self._insert()
        self.state = DomainState.RUNNING
        self.emit(Event(kind=EventKind.STARTED))

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
            found |= {file.identity for top in files if top is not None for file in top.chain()}
        return found | {medium.file.identity for medium in self.media.values() if medium.file is not None}

    def wake_after(self, seconds: float | None) -> bool:
        """See `svmove.ports_host.Host`: of a hypervisor that is reached over a network."""
        in_time, self.woken = not self.woken, False
        self.wakes = self.time + seconds if seconds is not None and self.remote else math.inf
        return in_time

    def go_on(self) -> None:
        if self.state is DomainState.PAUSED and self.suspended:
            self.pauses.append(self.time - self.suspended[-1])
        self.state, self.io_error = DomainState.RUNNING, False

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        if self.time >= self.wakes:
            self.woken, self.wakes = True, math.inf
            if self.state is DomainState.PAUSED:
                self.go_on()
        for drive in self.drives.values():
            self._settle(drive)
            self._mirror(drive)
        if self.state is DomainState.RUNNING and self.writes and not self.frozen:
            for _ in range(self.writes_at_once):
                self._write(seconds / self.writes_at_once)

    def _write(self, seconds: float) -> None:
        value = next(self.written)
        for drive in self.drives.values():
            most = drive.limits.get("write_iops_sec", 0)
            drive.credit = min(drive.credit + seconds * most, 2.0) if most else 1.0
            if drive.credit < 1.0:
                continue
            drive.credit -= 1.0
            block = value % BLOCKS
            drive.truth[block] = value
            drive.file.write(block, value)
            drive.requests += 1
            mirror = drive.mirror
            if mirror is None:
                continue
            if mirror.synchronous:  # what was dirty and is not yet copied stays so
                mirror.file.write(block, value)
                mirror.end += BLOCK if block not in mirror.dirty else 0
            elif block not in mirror.dirty:
                mirror.dirty.add(block)
                mirror.end += BLOCK

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
            mirror.file.write(block, drive.file.read(block))
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
            if any(file in self.files[name].chain() for name in named if name in self.files):
                raise ViolationError(f"{path} was deleted, but the guest's XML names it")
        for medium in self.media.values():
            if path in (medium.path, medium.inactive):
                raise ViolationError(f"{path} was deleted, but it is in the drive")

    def check_copies(self) -> None:
        """Each disk's file has a name, and all that the guest ever wrote."""
        for drive in self.drives.values():
            if not set(drive.file.chain()) <= set(self.files.values()):
                raise ViolationError(f"{drive.target}: the guest's file has lost its name")
            if drive.file.content() != drive.truth:
                raise ViolationError(f"{drive.target}: the guest has lost what it wrote")
        for medium in self.media.values():
            for path in {medium.path, medium.inactive} - {None}:
                if path not in self.files or self.files[path].blocks != medium.truth:
                    raise ViolationError(f"{medium.target}: {path} is not what was in the drive")


def refuse(text: str, error: type[SvmoveError] = HypervisorError) -> Callable[[], None]:
    """For `World.before`: libvirt, or whose error it is, says no."""

    def harm() -> None:
        raise error(text)

    return harm
