"""`Host` on the fake world, and the real journal with its faults."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from svmove import location
from svmove.errors import HostError, UnverifiedError
from svmove.journal import Journal, Kind, Record
from svmove.location import Secret
from svmove.model import (
    CopyWay,
    DomainState,
    Image,
    Process,
)
from svmove.moves import Plan
from svmove.volumes import Taken
from tests.fake.faults import ViolationError, counted
from tests.fake.things import BLOCK, BLOCKS
from tests.fake.world import QEMU, World


class FakeHost:
    room = "host"

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys: dict[str, Secret | None] = {}  # by path; gone with the process

    @counted
    def can_see(self, process: Process) -> bool:
        return True

    def unlock(self, path: str, luks: Secret | None) -> None:
        self.keys[path] = luks  # nothing happens: no crash can be here

    @counted
    def check_key(self, path: str, format_: str) -> None:
        if self.keys.get(path) != self.world.files[path].luks or path in self.world.rekeyed:
            raise HostError("Invalid password, cannot unlock any keyslot")

    @counted
    def write_header(self, path: str, going_on: Callable[[], None]) -> None:
        going_on()
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        self.world.files[path].luks = self.keys[path]

    @counted
    def image(self, path: str, format_: str) -> Image:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        size = len(self.world.files[path].blocks) * BLOCK
        return Image(format=format_, virtual_bytes=size, allocated_bytes=size, cluster_bytes=65536, compat="1.1")

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
    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        names = {file.identity: name for name, file in self.world.files.items()}
        below = self.world.files[path].chain()[1:]
        return tuple((names[file.identity], file.format) for file in below)

    @counted
    def taken(self, path: str) -> Taken | None:
        if path not in self.world.files:
            return None
        return Taken(size=self.size(path), blank=not any(self.world.files[path].blocks))

    @counted
    def allocated(self, path: str) -> int:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        return sum(BLOCK for block in self.world.files[path].blocks if block)

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
    def is_blank(self, path: str, format_: str, made_after: float) -> bool:
        # Of a device the time of its node says that it is new; in it is what lay there before.
        here = path in self.world.files
        return here and (location.is_device(path) or not any(self.world.files[path].blocks))

    @counted
    def answers(self, path: str, seconds: float) -> bool:
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

    @counted
    def copy_image(
        self,
        source: str,
        source_format: str,
        destination: str,
        destination_format: str,
        *,
        length: int | None,
        begin: int,
        bandwidth: Callable[[], int | None],
        saved: Callable[[int, int], bool],
        blank: bool = True,
        flatten: bool = False,
        share: bool = False,
    ) -> CopyWay:
        if share:
            raise HostError(f"{destination} can't share the extents of {source}")
        if source not in self.world.files or destination not in self.world.files:
            raise HostError("No such file or directory")
        found, made = self.world.files[source], self.world.files[destination]
        if made.identity in self.world.held():
            raise ViolationError(f"{destination} was copied to, but QEMU holds it")
        if length is None and (location.is_network(source) or location.is_network(destination)):
            raise HostError("no file")
        if length is None:  # a file's bytes: what encrypts them is among them
            made.luks = found.luks
        else:
            self._opened(source, destination)
        for block in range(begin // BLOCK, BLOCKS):
            value = found.read(block) if flatten else found.blocks[block]
            # What is to be zeros in a blank destination is not written.
            made.blocks[block] = value or (made.blocks[block] if blank and begin == 0 and length is not None else 0)
            made.own |= {block} & found.own
            self.world.pass_time(1.0)
            if not saved((block + 1) * BLOCK, BLOCKS * BLOCK):
                raise HostError("stopped")
        return CopyWay.CONVERT

    @counted
    def shares_all(self, source: str, destination: str) -> bool:
        return False

    @counted
    def compare_local(
        self,
        source: str,
        source_format: str,
        destination: str,
        destination_format: str,
        offset: int,
        length: int,
        advanced: Callable[[int], bool],
        *,
        layer: bool,
        files: bool = False,
    ) -> int | None:
        if source not in self.world.files or destination not in self.world.files:
            raise HostError("qemu-img compare: No such file or directory")
        pair = self.world.files[source], self.world.files[destination]
        if not files:
            self._opened(source, destination)
        for at in range(offset, offset + length, BLOCK):
            if not advanced(min(BLOCK, offset + length - at)):
                raise UnverifiedError("stopped")
            block = at // BLOCK
            left, right = (file.blocks[block] if layer else file.read(block) for file in pair)
            if left != right:
                return at
        return None

    def _opened(self, *paths: str) -> None:
        for path in paths:
            if self.keys.get(path) != self.world.files[path].luks:
                raise HostError("qemu-img: Invalid password, cannot unlock any keyslot")

    @counted
    def extents(self, path: str, format_: str) -> tuple[tuple[int, int], ...]:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        file = self.world.files[path]
        return tuple((block * BLOCK, BLOCK) for block in range(BLOCKS) if file.below is None or block in file.own)

    @counted
    def rebase(self, path: str, format_: str, backing: str, backing_format: str) -> None:
        self.world.files[path].below = self.world.files[backing]

    @counted
    def commit_overlay(self, path: str, format_: str) -> None:
        over = self.world.files[path]
        if over.identity in self.world.held():
            raise HostError(f'{path}: Failed to get "write" lock')
        assert over.below is not None
        for block in over.own:
            over.below.write(block, over.read(block))

    @counted
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
        while self.world.hangs and advanced(0):
            self.world.pass_time(1.0)
            time.sleep(0.001)  # who watches is a thread
        for at in range(offset, offset + length, BLOCK):
            if self.world.export != socket or source not in self.world.files or frozen is None:
                raise HostError("qemu-img compare: Failed to read")
            if self.world.files[source].identity in self.world.held():
                raise HostError(f"qemu-img compare: Is another process using the image [{source}]?")
            if self.keys.get(source) != self.world.files[source].luks:
                raise HostError("qemu-img compare: Invalid password, cannot unlock any keyslot")
            if not advanced(min(BLOCK, offset + length - at)):
                raise UnverifiedError("the verification was stopped")
            if self.world.files[source].read(at // BLOCK) != frozen[at // BLOCK]:
                return at
        return None


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


class FaultyJournal(Journal):
    """The real journal, which the world's faults strike as well."""

    room = "journal"

    def __init__(self, url: str, world: World) -> None:
        self.world = world
        super().__init__(url)

    @counted
    def begin(self, plan: Plan, uri: str, phase: str) -> Record:
        return super().begin(plan, uri, phase)

    @counted
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

    @counted
    def enter(self, move: str, at: float, phase: str, *, left: str, ended: bool, data: Mapping[str, Any]) -> None:
        super().enter(move, at, phase, left=left, ended=ended, data=data)

    @counted
    def read(self, move: str) -> Record:
        return super().read(move)
