"""What a cutover cost the guest, seen from inside and from outside at once.

The guest's clock stands while QEMU is suspended, so its fio sees a stalled disk but never a suspend. An
outsider sees both: the time that the guest's clock lost against the host's is the suspend, and it comes on
top of the worst write. The clock lines give uptime in steps of 10 ms and arrive some milliseconds late; the
smallest of many differences is late by nearly nothing, so a loss is known to about 5 ms.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from svmove.lab import report

# Four clock lines come in a second: the smallest of twelve is 1 ms late where one alone is 5 on average.
_SETTLE_SECONDS = 3.0
_POLL_SECONDS = 0.004


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Seconds. `worst_write`: the longest write by the guest's clock; `suspended`: how long the guest's
    clock stood; `felt`: what somebody outside who waits for one write can have had to wait at the most."""

    worst_write: float
    suspended: float

    @property
    def felt(self) -> float:
        return self.worst_write + self.suspended


@dataclass(slots=True)
class Watch:
    """A context manager around the moves to watch; it takes 3 s before and after for its measure.

    with Watch(lab.console) as watch:
        mover.move(...)
    print(watch.pause.felt)
    """

    console: Path
    lines: list[tuple[float, report.Line]] = field(default_factory=list)
    pause: Pause | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None
    _began: float = 0.0

    def __enter__(self) -> Self:
        self._reader = threading.Thread(target=self._follow, name="lab-watch", daemon=True)
        self._reader.start()
        time.sleep(_SETTLE_SECONDS)
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ended = time.monotonic()
        if kind is None:
            time.sleep(_SETTLE_SECONDS)
        self._stop.set()
        if self._reader is not None:
            self._reader.join()
        self.pause = measure(self.lines, self._began, ended)

    def _follow(self) -> None:
        offset = self.console.stat().st_size if self.console.exists() else 0
        while not self._stop.is_set():
            new, offset = report.read(self.console, offset)
            now = time.monotonic()
            self.lines.extend((now, line) for line in new)
            time.sleep(_POLL_SECONDS)


def measure(lines: list[tuple[float, report.Line]], began: float, ended: float) -> Pause:
    """The pause between two moments of the host's monotonic clock; `lines` with the times they arrived.

    A sample tells of the second before it, so the one that ends after `ended` counts as well.
    """
    inside = [line for at, line in lines if began <= at <= ended + 1.5]
    before = [at - line.uptime for at, line in lines if isinstance(line, report.Clock) and at < began]
    after = [at - line.uptime for at, line in lines if isinstance(line, report.Clock) and at > ended]
    lost = min(after) - min(before) if before and after else 0.0
    return Pause(worst_write=report.worst_write(inside) or 0.0, suspended=max(0.0, lost))
