"""What `Host` does with images, on the fake world."""

import time
from collections.abc import Callable

from svmove import location
from svmove.errors import HostError, UnverifiedError
from svmove.location import Secret
from svmove.model import CopyWay, Image
from tests.fake.faults import ViolationError, counted
from tests.fake.things import BLOCK, BLOCKS
from tests.fake.world import World


class FakeImages:
    room = "host"

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys: dict[str, Secret | None] = {}  # by path; gone with the process

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
        cluster = self.world.cluster_bytes
        return Image(format=format_, virtual_bytes=size, allocated_bytes=size, cluster_bytes=cluster, compat="1.1")

    @counted
    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        names = {file.identity: name for name, file in self.world.files.items()}
        below = self.world.files[path].chain()[1:]
        return tuple((names[file.identity], file.format) for file in below)

    @counted
    def based_on(self, path: str, format_: str) -> tuple[str, str] | None:
        return next(iter(self.chain(path, format_)), None)

    @counted
    def allocated(self, path: str) -> int:
        if path not in self.world.files:
            raise HostError(f"{path}: No such file or directory")
        return sum(BLOCK for block in self.world.files[path].blocks if block)

    @counted
    def is_blank(self, path: str, format_: str, made_after: float) -> bool:
        # Of a device the time of its node says that it is new; in it is what lay there before.
        here = path in self.world.files
        return here and (location.is_device(path) or not any(self.world.files[path].blocks))

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
