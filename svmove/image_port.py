"""What is done to images that no guest writes to: the part of the port `Host` that copies and proves them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from svmove.model import CopyWay


class Images(Protocol):
    """Methods raise HostError."""

    def stamp(self, path: str) -> str | None:
        """The file's identity, length, and time of its last write: what differs when somebody has written to it. None
        when there is no such file."""
        ...

    def locked(self, path: str) -> AbstractContextManager[None]:
        """While it is held nobody can begin to write to the image: a guest that is started onto it fails. Readers can
        read. Freed when this process dies. Raises HostError when somebody has it open for writing."""
        ...

    def chain(self, path: str, format_: str) -> tuple[tuple[str, str], ...]:
        """Path and format of each file below an image, nearest first, as the images say themselves."""
        ...

    def copy_image(
        self,
        source: str,
        source_format: str,
        destination: str,
        destination_format: str,
        *,
        begin: int,
        bandwidth: Callable[[], int | None],
        saved: Callable[[int, int], bool],
    ) -> CopyWay:
        """Copies an image that nobody writes into a file that exists, from byte `begin` on. What `saved(offset, end)`
        is told is on stable storage; when it returns False, HostError is raised."""
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
    ) -> int | None:
        """As `compare`, of two images that nobody writes; `layer`: without what lies below them."""
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
