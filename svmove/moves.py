"""A move as it is planned, and what is found before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from svmove.budgets import Priority
from svmove.location import Secret
from svmove.requests import Method, Verify
from svmove.volumes import DiskPlan
from svmove.windows import ANY_TIME, Moment, Windows


class Level(StrEnum):
    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    level: Level
    code: str  # stable, docs/findings.md
    text: str
    remedy: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Room that a move takes, in pools that share a file system, or in one."""

    pools: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be changed while a move is under way, and what windows make of it now."""

    bandwidth: int | None  # bytes/s over all disks, data only; None: no limit
    max_pause: float  # seconds
    deadline: float | None  # seconds from the start to the cutover; None: it may take as long as it takes
    cutover: Moment | None = None  # when it will be allowed; None: it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    move: str  # the id
    domain: str
    uuid: str
    method: Method
    disks: tuple[DiskPlan, ...]
    there: tuple[str, ...]  # targets that are already where they should be
    verify: Verify
    max_pause: float
    granularity: int | None
    buffer: int
    findings: tuple[Finding, ...]
    copy_bytes: int
    copy_seconds: float
    created: float  # Unix time
    deadline: float | None = None  # seconds; plans of older journals have none
    why: str = ""  # this method
    trim: bool = False
    freeze: bool = False
    # Images in CD-ROM and floppy drives, which are copied out of process and changed in the drive, last of all.
    media: tuple[DiskPlan, ...] = ()
    priority: Priority = Priority.NORMAL
    wait: bool = True  # for a slot
    windows: Windows = ANY_TIME
    at: Moment | None = None  # the cutover is not before that
    keep_for: float | None = None  # seconds that sources are kept before they may go; None: they go at once
    needs: tuple[Need, ...] = ()  # room in its pools; plans of older journals don't know

    def terms(self, changes: Mapping[str, Any], now: float) -> Terms:
        """As they are after the changes: by name, the newest of each. What a person has said counts before windows."""
        return Terms(
            bandwidth=changes["bandwidth"] if "bandwidth" in changes else self.windows.rate(now, self.bandwidth),
            max_pause=changes.get("max_pause", self.max_pause),
            deadline=changes.get("deadline", self.deadline),
            cutover=self._cutover(changes, now),
        )

    @property
    def bandwidth(self) -> int | None:
        """Outside of all windows."""
        return sum(disk.bandwidth for disk in self.disks if disk.bandwidth is not None) or None

    def rises(self, changes: Mapping[str, Any], now: float) -> bool:
        """Whether a window holds the copy back now, and will let more of it through."""
        return "bandwidth" not in changes and self.windows.rises(now, self.bandwidth)

    def _cutover(self, changes: Mapping[str, Any], now: float) -> Moment | None:
        if "cutover" in changes:
            said = Moment(**changes["cutover"])
            return said if said.at > now else None
        return self.windows.opens(now, self.at)

    @property
    def keys(self) -> dict[str, Secret | None]:
        """By path, what opens the disks' files; None: they are not encrypted."""
        return {path: luks for disk in self.disks for path, luks in disk.keys.items()}

    @property
    def refused(self) -> bool:
        return any(finding.level is Level.REFUSE for finding in self.findings)
