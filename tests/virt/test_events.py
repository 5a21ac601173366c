"""libvirt's callbacks → events of ours."""

import json

import libvirt
import pytest

from svmove.events import Event, EventKind
from svmove.virt.events import EventQueue


def after(queue: EventQueue) -> list[Event]:
    found = []
    while (event := queue.next(0)) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (libvirt.VIR_DOMAIN_BLOCK_JOB_READY, EventKind.READY),
        (libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED, EventKind.COMPLETED),
        (libvirt.VIR_DOMAIN_BLOCK_JOB_FAILED, EventKind.FAILED),
        (libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED, EventKind.CANCELED),
    ],
)
def test_a_job_event_names_its_target(status: int, kind: EventKind) -> None:
    queue = EventQueue()
    queue.on_job(None, None, "vda", 2, status, None)
    assert after(queue) == [Event(kind=kind, target="vda")]


@pytest.mark.parametrize(
    ("event", "detail", "kind"),
    [
        (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, EventKind.STARTED),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, 0, EventKind.STOPPED),
        (libvirt.VIR_DOMAIN_EVENT_CRASHED, 0, EventKind.STOPPED),
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, EventKind.PAUSED),
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, EventKind.IO_ERROR),
    ],
)
def test_a_lifecycle_event_is_told(event: int, detail: int, kind: EventKind) -> None:
    queue = EventQueue()
    queue.on_lifecycle(None, None, event, detail, None)
    assert after(queue) == [Event(kind=kind)]


def test_a_resumed_guest_is_no_event() -> None:
    queue = EventQueue()
    queue.on_lifecycle(None, None, libvirt.VIR_DOMAIN_EVENT_RESUMED, 0, None)
    assert after(queue) == []


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (
            {"device": "copy-vda-libvirt-2-format", "error": "No space left on device"},
            ("vda", "No space left on device"),
        ),
        ({"device": "odd", "error": "x"}, (None, "x")),
        ({"device": "copy-vda-libvirt-2-format"}, None),
        (None, None),
    ],
)
def test_qemu_s_reason_is_found_in_its_own_event(
    details: dict[str, str] | None, expected: tuple[str | None, str] | None
) -> None:
    queue = EventQueue()
    queue.on_monitor(None, None, "BLOCK_JOB_COMPLETED", 0, 0, json.dumps(details) if details else "", None)
    assert expected == next(((event.target, event.text) for event in after(queue)), None)


def test_details_that_are_no_json_are_no_event() -> None:
    queue = EventQueue()
    queue.on_monitor(None, None, "BLOCK_JOB_COMPLETED", 0, 0, "{", None)
    assert after(queue) == []


def test_a_closed_connection_is_an_event() -> None:
    queue = EventQueue()
    queue.on_close(None, 1, None)
    assert after(queue) == [Event(kind=EventKind.DISCONNECTED)]
