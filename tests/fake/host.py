"""`Host` on the fake world."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from svmove import location
from svmove.errors import HostError
from svmove.model import CopyWay, DomainState, Process
from svmove.volumes import Taken
from tests.fake.faults import counted
from tests.fake.images import FakeImages
from tests.fake.things import BLOCK, BLOCKS
from tests.fake.world import QEMU, World


class FakeHost(FakeImages):
    @counted
    def can_see(self, process: Process) -> bool:
        return True

    @counted
    def process(self, uuid: str) -> Process | None:
        return None if self.world.state is DomainState.OFF else QEMU

    @counted
    def go_on(self, process: Process) -> bool:
        if not self.world.daemon_is_dead:
            raise HostError("the monitor does not answer")  # libvirt has it
        self.world.state = DomainState.RUNNING
        return True

    def wake_after(self, uuid: str, seconds: float | None, /) -> bool:
        return self.world.wake_after(seconds)

    @counted
    def holds(self, process: Process, path: str) -> bool:
        file = self.world.files.get(path)
        return file is not None and file.identity in self.world.held()

    @counted
    def holders(self, path: str) -> tuple[int, ...]:
        file = self.world.files.get(path)
        if file is None or location.is_network(path):
            return ()
        qemu = (QEMU.pid,) if file.identity in self.world.held() else ()
        other = self.world.held_by.get(file.identity)
        return qemu + ((other,) if other is not None else ())

    @counted
    def identity(self, path: str) -> str | None:
        if path not in self.world.files:
            return None
        return location.identity(path) if location.is_network(path) else self.world.files[path].identity

    @counted
    def stamp(self, path: str) -> str | None:
        file = self.world.files.get(path)
        if file is None:
            return None
        return location.identity(path) if location.is_network(path) else f"{file.identity} {file.version}"

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        if location.is_network(path):
            yield
            return
        try:
            self._lock(path)
            yield
        finally:  # the kernel frees it, also when svmove has died
            if path in self.world.files:
                self.world.locked.discard(self.world.files[path].identity)

    @counted
    def _lock(self, path: str) -> None:
        file = self.world.files.get(path)
        if file is None:
            raise HostError(f"{path}: No such file or directory")
        if any(file is drive.file for drive in self.world.drives.values()) and self.world.state is not DomainState.OFF:
            raise HostError(f"somebody has {path} open for writing")
        self.world.locked.add(file.identity)

    @counted
    def taken(self, path: str) -> Taken | None:
        if path not in self.world.files:
            return None
        return Taken(size=self.size(path), blank=not any(self.world.files[path].blocks))

    @counted
    def allocate(self, path: str, length: int) -> bool:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        if length > self.world.free:
            raise HostError("fallocate: fallocate failed: No space left on device")
        if self.world.allocates:
            self.world.allocated[self.world.files[path].identity] = length
        return self.world.allocates

    @counted
    def offload(self, source: str, folder: str) -> CopyWay:
        if source not in self.world.files or folder not in ("/pools/fast", "/pools/slow"):
            raise HostError(f"{source}: No such file or directory")
        return CopyWay.CONVERT

    @counted
    def shared(self, path: str) -> int:
        return 0

    @counted
    def takes_direct(self, folder: str) -> bool | None:
        return True if folder in ("/pools/fast", "/pools/slow") else None

    def missing(self, commands: Sequence[str]) -> tuple[str, ...]:
        return ()

    @counted
    def may_use(self, path: str, uid: int, gid: int, how: str) -> bool | None:
        return path in ("/", "/pools/fast", "/pools/slow")

    def filesystem_kind(self, path: str) -> str | None:
        return "xfs" if path in ("/pools/fast", "/pools/slow") else None

    @counted
    def filesystem(self, path: str) -> str | None:
        return path if path in ("/pools/fast", "/pools/slow") else None

    @counted
    def size(self, path: str) -> int:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        return self.world.larger.get(path, BLOCKS * BLOCK) if path not in self.world.cut else 0

    @counted
    def answers(self, path: str, seconds: float) -> bool:
        if (left := self.world.unwritten.get(path, 0.0)) > 0:
            self.world.pass_time(min(left, seconds))
            self.world.unwritten[path] = max(left - seconds, 0.0)
            return left <= seconds
        if self.world.hangs:
            self.world.pass_time(seconds)
        return not self.world.hangs

    @counted
    def probe(self, path: str) -> "FakeProbe":
        return FakeProbe(self.world)

    @counted
    def trouble(self, path: str, seconds: float) -> str | None:
        return None if self.answers(path, seconds) else f"no answer in {seconds:g} s"

    def room_left(self, path: str) -> int | None:
        return self.world.rooms.get(path)

    @counted
    def free(self, path: str) -> int:
        return self.world.free

    @counted
    def make_scratch(self, folder: str, files: Mapping[str, int], owner: Process) -> None:
        self.world.scratch[folder] = set(files)

    @counted
    def remove_scratch(self, folder: str) -> None:
        self.world.scratch.pop(folder, None)


class FakeProbe:
    def __init__(self, world: World) -> None:
        self._world = world
        self._began = world.time

    def took(self, wait: float) -> float | None:
        ends = max(self._began, self._world.hung_until) + self._world.write_takes
        left = max(ends - self._world.time, 0.0)
        ended = left <= wait and not self._world.hangs
        if not ended or left:
            self._world.pass_time(left if ended else wait)
        return ends - self._began if ended else None

    def give_up(self) -> None:
        pass
