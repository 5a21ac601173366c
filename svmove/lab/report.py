"""What the lab's guest says on its serial port, as data. Pure, but for reading the file.

Counters are fio's, since its start in that boot. Times in the guest are by the guest's clock, and that
clock STANDS while QEMU is suspended: neither fio nor anything else inside can feel a suspend. `watch.py`
compares it with the host's.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "svmove-lab "


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """The guest came up; every counter starts again."""

    id: str
    disks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One disk's fio job, once a second.

    `ms`: the guest's clock (milliseconds since the epoch). `reads`: blocks read back and verified.
    `errors`: blocks that were not what had been written. `worst_us`: the longest write (microseconds, by
    the guest's clock, 1.6 % exact) that ended since the sample before.
    """

    job: str
    ms: int
    writes: int
    reads: int
    errors: int
    worst_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The guest's uptime in seconds, 0.01 s exact, four times a second."""

    uptime: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """So many lines were written to a file since the boot, each with a sync; all were found again."""

    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """The guest gave up writing."""

    reason: str


Line = Boot | Sample | Clock | Files | Dead


def parse(line: str) -> Line | None:
    """A line of the console; None for what is not a whole report, such as a kernel message."""
    start = line.find(_PREFIX)
    if start < 0:
        return None
    try:
        fields = json.loads(line[start + len(_PREFIX) :])
        match fields:
            case {"boot": str(boot), "disks": str(disks)}:
                return Boot(id=boot, disks=tuple(disks.split()))
            case {"job": str(job), "ms": int(ms), "writes": int(writes), "reads": int(reads),
                  "errors": int(errors), "worst_us": int(worst_us)}:  # fmt: skip
                return Sample(job=job, ms=ms, writes=writes, reads=reads, errors=errors, worst_us=worst_us)
            case {"clock": int() | float() as uptime}:
                return Clock(uptime=float(uptime))
            case {"files": int(lines)}:
                return Files(lines=lines)
            case {"dead": str(reason)}:
                return Dead(reason=reason)
    except ValueError:
        pass
    return None


def read(console: Path, offset: int = 0) -> tuple[list[Line], int]:
    """The whole lines after `offset` bytes, and the offset after them. No file is an empty one."""
    try:
        with console.open("rb") as file:
            # A console that was replaced by a shorter one is read from its start.
            file.seek(offset if offset <= os.fstat(file.fileno()).st_size else 0)
            begin = file.tell()
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    lines = [parse(line) for line in whole.decode("ascii", errors="replace").splitlines()]
    return [line for line in lines if line is not None], begin + len(whole)


def tail(console: Path, length: int = 1 << 16) -> list[Line]:
    """The last reports: 64 KiB are a good minute's."""
    try:
        size = console.stat().st_size
    except FileNotFoundError:
        return []
    return read(console, max(0, size - length))[0]


def current_boot(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines since the last boot that they show."""
    for index in range(len(lines) - 1, -1, -1):
        if isinstance(lines[index], Boot):
            return lines[index:]
    return lines


def latest(lines: Iterable[Line]) -> dict[str, Sample]:
    """The last sample of each job."""
    return {line.job: line for line in lines if isinstance(line, Sample)}


def worst_write(lines: Iterable[Line], job: str | None = None) -> float | None:
    """The longest write in seconds, by the guest's clock, over all jobs or one; None without a sample."""
    found = [line.worst_us for line in lines if isinstance(line, Sample) and job in (None, line.job)]
    return max(found) / 1e6 if found else None
