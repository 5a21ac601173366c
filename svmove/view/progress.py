"""A move as it goes on: bars on a terminal, a line now and then where there is none."""

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.text import Text

from svmove.journal import Notice
from svmove.outcomes import Progress
from svmove.units import show_rate, show_size

# Often enough to see that it lives, seldom enough for a log file.
_LINE_EVERY = 10.0
_BARRED = ("copying", "verifying")


class _Speed(ProgressColumn):
    """In binary units, as everywhere else in svmove; rich's own column has decimal ones."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(show_rate(speed) if speed else "", style="progress.data.speed")


class ProgressView(AbstractContextManager["ProgressView"]):
    """Give `heed` to a move as its listener, inside the `with`. Writes to `console` only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._phase = ""
        self._line_at = 0.0

    @property
    def phase(self) -> str:
        return self._phase

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                DownloadColumn(binary_units=True),
                _Speed(),
                TimeRemainingColumn(compact=True),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def heed(self, seen: Progress) -> None:
        if seen.phase != self._phase:
            self._enter(seen.phase)
        if seen.text and seen.target is None:
            self._console.print(Text(seen.text, style="yellow"))
        if seen.target is None or seen.phase not in (*_BARRED, "ready"):
            return
        if self._bars is not None:
            self._bar(self._bars, seen.target, seen)
        elif seen.phase != "ready" and time.monotonic() - self._line_at >= _LINE_EVERY:  # which may last for hours
            self._line_at = time.monotonic()
            self._console.print(Text(f"{seen.phase} {seen.target}: {show_size(seen.done)} of {show_size(seen.end)}"))

    def notice(self, move: str, notice: Notice) -> None:
        """The figures of a move that another process works on."""
        for target, figures in notice.disks.items():
            self.heed(Progress(move=move, phase=notice.phase, target=target, done=figures.done, end=figures.end))

    def _enter(self, phase: str) -> None:
        if self._phase in _BARRED and self._bars is not None:
            for (of, _), task in self._tasks.items():
                if of == self._phase:
                    end = self._bars.tasks[task].total
                    self._bars.update(task, completed=end)
        self._phase = phase
        if self._bars is None:
            self._console.print(Text(phase))

    def _bar(self, bars: Bars, target: str, seen: Progress) -> None:
        key = ("copying" if seen.phase == "ready" else seen.phase, target)
        if key not in self._tasks:
            self._tasks[key] = bars.add_task(f"{key[0]} {target}", total=seen.end)
        # A mirror's end grows with what the guest writes. rich forgets the speed when the total changes, so the
        # total stays, and what is left counts.
        total = bars.tasks[self._tasks[key]].total or seen.end
        bars.update(self._tasks[key], completed=max(total - (seen.end - seen.done), 0))
