"""What happens to a guest and its copies, as libvirt and QEMU tell of it."""

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    READY = "ready"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    REASON = "reason"  # QEMU's own words on why a job failed; libvirt's event has none
    STARTED = "started"
    STOPPED = "stopped"  # the domain is off
    PAUSED = "paused"
    IO_ERROR = "io-error"  # QEMU paused the guest because a write failed
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    kind: EventKind
    target: str | None = None
    text: str | None = None
