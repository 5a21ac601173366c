"""What a move needs of the machine that the hypervisor runs on, as a protocol. See `svmove.ports`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from svmove.location import Secret
from svmove.model import CopyWay, Image, Process
from svmove.volumes import Taken


class Probe(Protocol):
    """A write of 64 KiB to the storage below a path, under way."""

    def took(self, wait: float) -> float | None:
        """The seconds that the write took, as soon as it has ended; None: not within `wait` seconds. An error is an
        answer."""
        ...

    def give_up(self) -> None:
        """Nobody waits for it any more. Idempotent."""
        ...


class Host(Protocol):
    """The machine that the hypervisor runs on. Methods raise HostError."""

    def can_see(self, process: Process) -> bool:
        """Whether this user may look into the QEMU process and read its disks."""
        ...

    def unlock(self, path: str, luks: Secret | None) -> None:
        """From now on the image is read with that passphrase; None: it is not encrypted. Nothing is tried yet."""
        ...

    def check_key(self, path: str, format_: str) -> None:
        """Raises HostError when the passphrase of `unlock` does not open the image. Takes a second: keys are slow."""
        ...

    def write_header(self, path: str, going_on: Callable[[], None]) -> None:
        """Writes a LUKS header for the passphrase of `unlock` to the first bytes of what is no file, and reads it back.
        Behind it all stays as it is, and decrypts to noise. A key is made to take two seconds of a CPU; what
        `going_on`, called twice a second, raises ends it."""
        ...

    def image(self, path: str, format_: str) -> Image: ...
    def process(self, uuid: str) -> Process | None:
        """The QEMU process of a domain, found by its UUID."""
        ...

    def go_on(self, process: Process) -> bool:
        """Lets a suspended guest go on WITHOUT libvirt, whose daemon is gone: whether it runs now."""
        ...

    def wake_after(self, uuid: str, seconds: float | None, /) -> bool:
        """A suspended guest goes on by itself after so many seconds, should this process be cut off from the host until
        then; None: that is called off. Whether it had not come to it. On one's own host there is nothing to be cut off
        from, and this does nothing (of a process that dies there, see `svmove.ports.Guard`)."""
        ...

    def holds(self, process: Process, path: str) -> bool:
        """Whether the process has the file (by device and inode) open."""
        ...

    def holders(self, path: str) -> tuple[int, ...]:
        """The pids of all processes that have the file open."""
        ...

    def identity(self, path: str) -> str | None:
        """Device and inode, or None when there is no such file."""
        ...

    def stamp(self, path: str) -> str | None:
        """What differs when somebody has written to the image. Of a file its identity, length, and time of its last
        write; of a block device what this host has written to it since it is there; of an image on the network no more
        than its name (`location.is_network`). None when there is no such file."""
        ...

    def locked(self, path: str) -> AbstractContextManager[None]:
        """While it is held nobody can begin to write to the file: a guest that is started onto it fails. Readers can
        read. Freed when this process dies. Raises HostError when somebody has it open for writing. A block device's
        counts only for who opens it by the same node; on the network there is none, and this does nothing."""
        ...

    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        """Path and format of each file below an image, nearest first, as the images say themselves."""
        ...

    def based_on(self, path: str, format_: str) -> tuple[str, str] | None:
        """Path and format of the file right below an image in a file, which need not be there. None: there is none."""
        ...

    def taken(self, path: str) -> Taken | None:
        """What is there at a location that a move is to write to, and did not make. None: nothing. Changes nothing."""
        ...

    def allocated(self, path: str) -> int: ...
    def allocate(self, path: str, length: int) -> bool:
        """Gives the file's first `length` bytes room on its file system; what is in them, and its size, stay. Also
        while QEMU writes to it. False: this file system can't. Raises HostError, also when it is full."""
        ...

    def offload(self, source: str, folder: str) -> CopyWay:
        """How a file could be copied into a folder, best first. Changes nothing. Raises HostError."""
        ...

    def shared(self, path: str) -> int:
        """Bytes of the file that share their room with other files (reflink). 0 where the file system can't tell."""
        ...

    def takes_direct(self, folder: str) -> bool | None:
        """Whether files there can be opened past the page cache. None: it can't be tried without leaving one behind."""
        ...

    def missing(self, commands: Sequence[str]) -> tuple[str, ...]:
        """Those that are not installed."""
        ...

    def may_use(self, path: str, uid: int, gid: int, how: str) -> bool | None:
        """Whether that user, with all groups that it is in, gets to what the path names, and may read ("r"), write
        ("w") or enter ("x") it; several letters: all of that. None: this user can't find out."""
        ...

    def filesystem_kind(self, path: str) -> str | None:
        """As stat(1) calls it: "xfs", "nfs", "tmpfs". None: there is no such path."""
        ...

    def filesystem(self, path: str) -> str | None:
        """Which one the path lies on: equal for paths that share their free space. None: there is no such path."""
        ...

    def size(self, path: str) -> int:
        """The file's length, or that of the block device."""
        ...

    def is_blank(self, path: str, format_: str, made_after: float) -> bool:
        """Whether the image was made after a moment (Unix time) and nothing has ever been written into it."""
        ...

    def answers(self, path: str, seconds: float) -> bool:
        """Whether the storage below the file answers to a read and a flush in that time; an error is an answer."""
        ...

    def probe(self, path: str) -> Probe:
        """Begins a write beside the file, which may hang; the file itself is not touched, and nothing is left."""
        ...

    def trouble(self, path: str, seconds: float) -> str | None:
        """Why the storage of an image can't be read: its own words, or that it did not answer in that time. None: it
        can be, or it is a file, of which an error is an answer."""
        ...

    def room_left(self, path: str) -> int | None:
        """How many bytes a pool on the network, or that of an image, still takes, where its storage tells more than
        libvirt does (Ceph: quotas); below 0 when that is overrun. None: not known. Takes up to 15 s."""
        ...

    def free(self, path: str) -> int:
        """Bytes free on the file system of the nearest existing folder."""
        ...

    def make_scratch(self, folder: str, files: Mapping[str, int], owner: Process) -> None:
        """A folder that QEMU may write in, with an empty qcow2 (path → virtual bytes) for each entry."""
        ...

    def remove_scratch(self, folder: str) -> None:
        """Idempotent. Removes the files that `make_scratch` makes, and nothing else."""
        ...

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
        """Copies an image that nobody writes into one that exists, from byte `begin` on. `length`: so many bytes of
        what the guest sees, from and to any kind of place; None: a file's bytes into a file, with all that its format
        keeps. What `saved(offset, end)` is told is on stable storage; when it returns False, HostError is raised.
        `blank`: the destination is new, and has nothing but zeros; else zeros are written too. `flatten`: with all that
        lies below the source. `share`: by shared extents or not at all: a HostError that says "can't share"."""
        ...

    def shares_all(self, source: str, destination: str) -> bool:
        """Whether both files are proven to be equal because they are the same blocks of one file system."""
        ...

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
        """As `compare`, of two images that nobody writes; `layer`: without what lies below them; `files`: the bytes of
        two files, whatever is in them."""
        ...

    def extents(self, path: str, format_: str) -> tuple[tuple[int, int], ...]:
        """What an image has itself, and no file below it, zeros that were written as well: offset, length."""
        ...

    def rebase(self, path: str, format_: str, backing: str, backing_format: str) -> None:
        """Writes the name of the file below into the image's header, and nothing else."""
        ...

    def commit_overlay(self, path: str, format_: str) -> None:
        """Brings an image that nobody has open into the file below it."""
        ...

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
        """Compares a slice of an image with the same slice of an NBD export, bit for bit.

        Returns the offset in the image of the first difference, or None. `advanced(bytes)` is called as it
        goes on; when it returns False, UnverifiedError is raised.
        """
        ...
