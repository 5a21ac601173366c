"""The events of one domain as a queue: block jobs, lifecycle, QEMU's reasons, a lost connection.

libvirt sends no block-job event when the domain dies, and none when the daemon does: hence the others.
"""

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt
import libvirt_qemu

from svmove.events import Event, EventKind
from svmove.redact import without_keys
from svmove.virt.connection import Connection

_JOB = {
    libvirt.VIR_DOMAIN_BLOCK_JOB_READY: EventKind.READY,
    libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED: EventKind.COMPLETED,
    libvirt.VIR_DOMAIN_BLOCK_JOB_FAILED: EventKind.FAILED,
    libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED: EventKind.CANCELED,
}
_STOPPED = (
    libvirt.VIR_DOMAIN_EVENT_STOPPED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED,
)


class EventQueue:
    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def next(self, timeout: float) -> Event | None:
        try:
            return self._queue.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None

    def put(self, event: Event) -> None:
        self._queue.put(event)

    def on_job(self, _conn: Any, _dom: Any, target: str, _type: int, status: int, _opaque: Any) -> None:
        if (kind := _JOB.get(status)) is not None:
            self.put(Event(kind=kind, target=target))

    def on_lifecycle(self, _conn: Any, _dom: Any, event: int, detail: int, _opaque: Any) -> None:
        if event in _STOPPED:
            self.put(Event(kind=EventKind.STOPPED))
        elif event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self.put(Event(kind=EventKind.STARTED))
        elif event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
            failed = detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR
            self.put(Event(kind=EventKind.IO_ERROR if failed else EventKind.PAUSED))

    def on_monitor(
        self, _conn: Any, _dom: Any, _event: str, _seconds: int, _micros: int, details: str, _opaque: Any
    ) -> None:
        """QEMU's BLOCK_JOB_COMPLETED carries the errno's text; libvirt names the job copy-TARGET-NODE."""
        with suppress(ValueError):
            job = json.loads(details or "{}")
            if error := job.get("error"):
                parts = str(job.get("device", "")).split("-")
                self.put(
                    Event(kind=EventKind.REASON, target=parts[1] if len(parts) > 1 else None, text=without_keys(error))
                )

    def on_close(self, _conn: Any, _reason: int, _opaque: Any) -> None:
        self.put(Event(kind=EventKind.DISCONNECTED))


@contextmanager
def subscribed(connection: Connection, uuid: str) -> Iterator[EventQueue]:
    """The domain's events from now on. Raises NotFoundError, UnreachableError."""
    raw, events = connection.raw, EventQueue()
    ids: list[int] = []
    monitor: int | None = None
    with connection.translated():
        domain = raw.lookupByUUIDString(uuid)
        for kind, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, events.on_job),
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, events.on_lifecycle),
        ):
            ids.append(raw.domainEventRegisterAny(domain, kind, callback, None))
        raw.registerCloseCallback(events.on_close, None)
    with suppress(libvirt.libvirtError):  # not every driver is QEMU; the reason is then simply not known
        monitor = libvirt_qemu.qemuMonitorEventRegister(raw, domain, "BLOCK_JOB_COMPLETED", events.on_monitor, None, 0)
    try:
        yield events
    finally:
        with suppress(libvirt.libvirtError):
            if monitor is not None:
                libvirt_qemu.qemuMonitorEventDeregister(raw, monitor)
            for event_id in ids:
                raw.domainEventDeregisterAny(event_id)
            raw.unregisterCloseCallback()
