"""A guest with a file system, which writes lines to a file there, and finds all of them again."""

from collections.abc import Iterator
from contextlib import contextmanager

from svmove.lab import report
from svmove.lab.specs import FILES_GUEST
from tests.real.world import World, until

NAME = FILES_GUEST.name


class FilesGuest:
    def __init__(self, world: World) -> None:
        self._console = world.lab.paths.console(NAME)
        self._since = self._console.stat().st_size if self._console.exists() else 0  # an earlier test's

    def _said(self) -> list[report.Line]:
        return report.read(self._console, self._since)[0]

    def lines(self) -> int:
        return max((line.lines for line in self._said() if isinstance(line, report.Files)), default=0)

    def writes(self) -> None:
        seen = self.lines()
        until(lambda: self.lines() > seen + 3, "the guest writes to its file system", 10.0)
        assert not [line for line in self._said() if isinstance(line, report.Dead)]


@contextmanager
def files_guest(world: World) -> Iterator[FilesGuest]:
    """It has done so all the time, and goes on after the test."""
    found = FilesGuest(world)
    world.lab.add_guest(FILES_GUEST)
    until(lambda: found.lines() > 2, "the guest has made its file system", 60.0)
    yield found
    found.writes()
