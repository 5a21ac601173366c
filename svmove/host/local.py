"""`Host` for the machine that svmove itself runs on."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from svmove import location
from svmove.errors import HostError
from svmove.host import (
    command,
    comparing,
    copying,
    encrypted,
    files,
    lock,
    monitor,
    offload,
    probe,
    procfs,
    reflink,
    scratch,
)
from svmove.host.info import image_record
from svmove.host.network import NetworkImages
from svmove.host.nodes import Nodes, Options, Side, Values, no_secrets, seen_whole, sliced
from svmove.host.premises import Premises
from svmove.location import Secret
from svmove.model import CopyWay, Image, Process
from svmove.volumes import Taken

# stat counts 512-byte blocks, whatever the file system's own block size is.
_BLOCK = 512
# qemu-system-x86_64, qemu-kvm, kvm: a virsh or grep with the UUID in its arguments is none.
_QEMU = re.compile(r"qemu|kvm")


class LocalHost(Premises):
    def can_see(self, process: Process) -> bool:
        # /proc/PID/fd of another user's process, and that user's 0600 images, are for root alone.
        return os.geteuid() in (0, process.uid)

    def image(self, path: str, format_: str) -> Image:
        if location.is_network(path):
            return self._network.image(path, format_, self._keys.get(path))
        info = command.image_info(path, encrypted.driver(format_, self._keys.get(path)))
        # A block device has all that it has.
        allocated = info.get("actual-size") or info["virtual-size"] * location.is_device(path)
        return replace(image_record(info, allocated), format=format_)

    def unlock(self, path: str, luks: Secret | None) -> None:
        self._keys[path] = luks

    def check_key(self, path: str, format_: str) -> None:
        if (key := self._keys.get(path)) is not None:
            encrypted.check_key(self._secrets, path, format_, key)

    def write_header(self, path: str, going_on: Callable[[], None]) -> None:
        encrypted.write_header(self._secrets, path, self._keys.get(path), going_on)

    def __init__(self, secrets: Values = no_secrets) -> None:
        """`secrets`: the values of libvirt's secrets, which images on the network need."""
        self._secrets = secrets
        self._network = NetworkImages(secrets)
        self._known: dict[str, Path] = {}
        self._keys: dict[str, Secret | None] = {}  # by path
        self._chained: dict[str, bool] = {}  # by path: whether a file lies below the image

    def process(self, uuid: str) -> Process | None:
        # By the command line, not by a pid file: those move with the daemon's folders and namespaces.
        known = self._known.get(uuid)
        for folder in chain([known] if known else [], procfs.processes()):
            with suppress(OSError):  # ended while we looked, or a kernel thread, which has no exe
                if not _QEMU.search((folder / "exe").readlink().name):
                    continue
                if f"\0-uuid\0{uuid}\0".encode() in (folder / "cmdline").read_bytes():
                    status = folder.stat()
                    self._known[uuid] = folder
                    return Process(pid=int(folder.name), uid=status.st_uid, gid=status.st_gid)
        return None

    def go_on(self, process: Process) -> bool:
        return monitor.go_on(process.pid)

    def wake_after(self, _uuid: str, _seconds: float | None) -> bool:
        return True

    def holds(self, process: Process, path: str) -> bool:
        found, folder = files.status(path), Path(f"/proc/{process.pid}")
        return found is not None and procfs.file_id(found) in procfs.open_files(folder, tolerant=False)

    def holders(self, path: str) -> tuple[int, ...]:
        if location.is_network(path):
            return ()  # QEMU tells of its own (`Hypervisor.opened`); nobody knows of other hosts
        if (found := files.status(path)) is None:
            return ()
        wanted = procfs.file_id(found)
        return tuple(
            int(folder.name) for folder in procfs.processes() if wanted in procfs.open_files(folder, tolerant=True)
        )

    def identity(self, path: str) -> str | None:
        if location.is_network(path):
            return self._network.identity(path)
        found = files.status(path)
        return None if found is None else procfs.file_id(found)

    def stamp(self, path: str) -> str | None:
        return self._network.identity(path) if location.is_network(path) else files.stamp(path)

    def locked(self, path: str) -> AbstractContextManager[None]:
        return nullcontext() if location.is_network(path) else lock.locked(path)

    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        if location.is_network(path):
            return self._network.chain(path, format_)
        return tuple(command.below(path, format_))

    def based_on(self, path: str, format_: str) -> tuple[str, str] | None:
        return command.based_on(path, format_)

    def taken(self, path: str) -> Taken | None:
        return self._network.taken(path) if location.is_network(path) else files.taken(path)

    def allocated(self, path: str) -> int:
        if not location.is_file(path):
            return self.image(path, "raw").allocated_bytes
        try:
            return os.stat(path).st_blocks * _BLOCK
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error

    def allocate(self, path: str, length: int) -> bool:
        return command.allocate(path, length)

    def offload(self, source: str, folder: str) -> CopyWay:
        try:
            return offload.guess(source, folder)
        except OSError as error:
            raise HostError(f"{error.filename or folder}: {error.strerror}") from error

    def shared(self, path: str) -> int:
        return reflink.shared_bytes(path)

    def takes_direct(self, folder: str) -> bool | None:
        return offload.takes_direct(folder)

    def filesystem(self, path: str) -> str | None:
        # Two subvolumes of one btrfs have two of these (and two of f_fsid): they count as two file systems.
        found = files.status(path)
        return None if found is None else str(found.st_dev)

    def size(self, path: str) -> int:
        if location.is_network(path):
            return self._network.size(path)
        try:
            with Path(path).open("rb") as file:
                return os.lseek(file.fileno(), 0, os.SEEK_END)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error

    def is_blank(self, path: str, format_: str, made_after: float) -> bool:
        try:
            found = os.stat(path)
            # A file system's clock ticks more coarsely than ours: 10 ms.
            if found.st_ctime < made_after - 0.01:
                return False
            # A device is encrypted after it was made; what is in it then is what lay there before.
            if (key := self._keys.get(path)) is not None and location.is_file(path):
                return encrypted.is_blank(self._secrets, path, format_, key)
            return found.st_size == 0 or command.holds_nothing(path, format_)
        except (OSError, HostError):
            return False

    def answers(self, path: str, seconds: float) -> bool:
        if location.is_network(path):
            return self._network.answers(path, seconds)
        # Past the page cache, or the answer would be the cache's. `sync -d` flushes down to the device.
        read = ["dd", f"if={path}", "of=/dev/null", "iflag=direct", "bs=4096", "count=1", "status=none"]
        return command.end_in_time([read, ["sync", "-d", "--", path]], seconds)

    def probe(self, path: str) -> probe.Timed:
        if location.is_network(path):
            return self._network.probe(path)
        return probe.Write(path)

    def trouble(self, path: str, seconds: float) -> str | None:
        if location.is_network(path):
            return self._network.trouble(path, seconds)
        return None if self.answers(path, seconds) else f"no answer in {seconds:g} s"

    def room_left(self, path: str) -> int | None:
        return self._network.room_left(path) if location.is_network(path) else None

    def free(self, path: str) -> int:
        return files.free(path)

    def make_scratch(self, folder: str, files: Mapping[str, int], owner: Process) -> None:
        scratch.make(folder, files, owner)

    def remove_scratch(self, folder: str) -> None:
        scratch.remove(folder)

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
        return copying.copy(
            Side(path=source, format=source_format, luks=self._keys.get(source)),
            Side(path=destination, format=destination_format, luks=self._keys.get(destination)),
            values=self._secrets,
            length=length,
            begin=begin,
            bandwidth=bandwidth,
            saved=saved,
            blank=blank,
            flatten=flatten,
            share=share,
        )

    def shares_all(self, source: str, destination: str) -> bool:
        return reflink.shares_all(source, destination)

    def extents(self, path: str, format_: str) -> tuple[tuple[int, int], ...]:
        if location.is_network(path):
            return self._network.extents(path, format_)
        return tuple(command.own_extents(path, format_))

    def rebase(self, path: str, format_: str, backing: str, backing_format: str) -> None:
        command.rebase(path, format_, backing, backing_format)

    def commit_overlay(self, path: str, format_: str) -> None:
        command.commit(path, format_)

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
        sides = ((source, source_format), (destination, destination_format))

        def image(nodes: Nodes, path: str, format_: str) -> Options:
            if files:
                return nodes.protocol(path)
            return self._image(nodes, path, format_, alone=True) if layer else self._whole(nodes, path, format_)

        with Nodes(self._secrets) as nodes:
            left, right = (sliced(image(nodes, *side), offset, length) for side in sides)
            found = comparing.compare_images(left, right, length, advanced, shared=True, nodes=nodes)
        return None if found is None else offset + found

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
        exported: Options = {"driver": "nbd", "server": {"type": "unix", "path": socket}, "export": export}
        with Nodes(self._secrets) as nodes:
            left = sliced(self._whole(nodes, source, format_), offset, length)
            right = sliced(exported, offset, length)
            found = comparing.compare_images(left, right, length, advanced, nodes=nodes)
        return None if found is None else offset + found

    def _image(self, nodes: Nodes, path: str, format_: str, *, alone: bool = False) -> Options:
        return nodes.image(path, format_, alone=alone, luks=self._keys.get(path))

    def _whole(self, nodes: Nodes, path: str, format_: str) -> Options:
        """An image with all that lies below it."""
        node = self._image(nodes, path, format_)
        if path not in self._chained:
            self._chained[path] = bool(self.chain(path, format_))
        return seen_whole(node) if self._chained[path] else node
