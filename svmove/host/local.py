"""`Host` for the machine that svmove itself runs on."""

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from svmove.errors import HostError
from svmove.host import command, monitor
from svmove.model import Image, Process

# stat counts 512-byte blocks, whatever the file system's own block size is.
_BLOCK = 512
# qemu-system-x86_64, qemu-kvm, kvm: a virsh or grep with the UUID in its arguments is none.
_QEMU = re.compile(r"qemu|kvm")


class LocalHost:
    def can_see(self, process: Process) -> bool:
        # /proc/PID/fd of another user's process, and that user's 0600 images, are for root alone.
        return os.geteuid() in (0, process.uid)

    def image(self, path: str, format_: str) -> Image:
        info = command.image_info(path, format_)
        specific = info.get("format-specific", {}).get("data", {})
        return Image(
            format=info["format"],
            virtual_bytes=info["virtual-size"],
            allocated_bytes=info.get("actual-size", 0),
            cluster_bytes=info.get("cluster-size") if info["format"] == "qcow2" else None,
            compat=specific.get("compat"),
            extended_l2=bool(specific.get("extended-l2", False)),
            lazy_refcounts=bool(specific.get("lazy-refcounts", False)),
            data_file=specific.get("data-file"),
            encrypted=bool(info.get("encrypted", False)),
            internal_snapshots=tuple(snapshot["name"] for snapshot in info.get("snapshots", ())),
        )

    def __init__(self) -> None:
        self._known: dict[str, Path] = {}

    def process(self, uuid: str) -> Process | None:
        # By the command line, not by a pid file: those move with the daemon's folders and namespaces.
        known = self._known.get(uuid)
        for folder in chain([known] if known else [], _processes()):
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

    def holds(self, process: Process, path: str) -> bool:
        try:
            wanted = _file_id(os.stat(path))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        return wanted in _open_files(Path(f"/proc/{process.pid}"), tolerant=False)

    def holders(self, path: str) -> tuple[int, ...]:
        try:
            wanted = _file_id(os.stat(path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error
        return tuple(int(folder.name) for folder in _processes() if wanted in _open_files(folder, tolerant=True))

    def identity(self, path: str) -> str | None:
        try:
            return _file_id(os.stat(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error

    def allocated(self, path: str) -> int:
        try:
            return os.stat(path).st_blocks * _BLOCK
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from error

    def size(self, path: str) -> int:
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
            return found.st_size == 0 or command.holds_nothing(path, format_)
        except (OSError, HostError):
            return False

    def answers(self, path: str, seconds: float) -> bool:
        # Past the page cache, or the answer would be the cache's. `sync -d` flushes down to the device.
        read = ["dd", f"if={path}", "of=/dev/null", "iflag=direct", "bs=4096", "count=1", "status=none"]
        return command.end_in_time([read, ["sync", "-d", "--", path]], seconds)

    def free(self, path: str) -> int:
        folder = Path(path)
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            return shutil.disk_usage(folder).free
        except OSError as error:
            raise HostError(f"{folder}: {error.strerror}") from error

    def make_scratch(self, folder: str, files: Mapping[str, int], owner: Process) -> None:
        self.remove_scratch(folder)  # of an svmove that died
        try:
            # QEMU's user must reach the folder; what lies beside it is nobody's business.
            Path(folder).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            Path(folder).mkdir(mode=0o700)
            for path, virtual_bytes in files.items():
                command.create_qcow2(path, virtual_bytes)
                os.chown(path, owner.uid, owner.gid)
            # Last: from here on QEMU's user can put links there, which root must not follow.
            os.chown(folder, owner.uid, owner.gid)
        except OSError as error:
            raise HostError(f"{error.filename or folder}: {error.strerror}") from error

    def remove_scratch(self, folder: str) -> None:
        if Path(folder).is_symlink():
            raise HostError(f"{folder} is a link, which svmove did not make")
        try:
            for path in Path(folder).glob("*"):
                if path.suffix == ".qcow2" or path.is_socket():
                    path.unlink(missing_ok=True)
            Path(folder).rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostError(f"{error.filename or folder}: {error.strerror}") from error

    def copy_file(
        self, source: str, destination: str, format_: str, bandwidth: int | None, stopped: Callable[[], bool]
    ) -> None:
        rate = ["-r", str(bandwidth)] if bandwidth else []
        command.run_unless(
            ["qemu-img", "convert", "-n", *rate, "-f", format_, "-O", format_, "--", source, destination], stopped
        )

    def same_content(self, one: str, other: str, format_: str, stopped: Callable[[], bool]) -> bool:
        # A longer one with zeroes at its end is equal to qemu-img, but not to a guest.
        if len({command.image_info(path, format_)["virtual-size"] for path in (one, other)}) > 1:
            return False
        argv = ["qemu-img", "compare", "-U", "-f", format_, "-F", format_, "--", one, other]
        return command.run_unless(argv, stopped, also=1) == 0

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
        slice_ = {"driver": "raw", "offset": offset, "size": length}
        # Past the page cache: what lies on the storage counts, and a third of the time is saved (docs/internals.md).
        cache = {"cache": {"direct": _takes_direct(source)}}
        left: dict[str, object] = {"driver": "file", "filename": source, **cache}
        if format_ != "raw":
            left = {"driver": format_, "file": left, **cache}
        right = {"driver": "nbd", "server": {"type": "unix", "path": socket}, "export": export}
        found = command.compare_images({**slice_, "file": left, **cache}, {**slice_, "file": right}, length, advanced)
        return None if found is None else offset + found


def _takes_direct(path: str) -> bool:
    """tmpfs, for one, takes no O_DIRECT before Linux 6.5."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _processes() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _file_id(status: os.stat_result) -> str:
    if stat.S_ISBLK(status.st_mode):
        return f"block:{status.st_rdev}"
    return f"{status.st_dev}:{status.st_ino}"


def _open_files(process: Path, *, tolerant: bool) -> set[str]:
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed since it was listed
                found.add(_file_id(descriptor.stat()))
    except OSError as error:
        if not tolerant:
            raise HostError(
                f"can't look into process {process.name}: {error.strerror}", remedy="run svmove as root"
            ) from error
    return found
