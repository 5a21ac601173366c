"""What the journal gives back: a move's plan, its phase, and its entries in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from svmove.moves import Plan


class Kind(StrEnum):
    INTENT = "intent"  # written, durably, BEFORE the act
    FACT = "fact"  # after it
    PHASE = "phase"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    at: float  # Unix time
    phase: str
    kind: Kind
    what: str
    target: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    plan: Plan
    uri: str  # of the libvirt daemon that it is on
    phase: str
    ended: bool
    entries: tuple[Entry, ...]

    def last(self, kind: Kind, what: str, target: str | None = None) -> Entry | None:
        """The newest such entry of this target (of the whole move when None)."""
        return next((e for e in reversed(self.entries) if (e.kind, e.what, e.target) == (kind, what, target)), None)

    def all(self, kind: Kind, what: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if (entry.kind, entry.what) == (kind, what))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A move in a list."""

    move: str
    uri: str
    uuid: str
    domain: str
    phase: str
    ended: bool
    created: float  # Unix time
