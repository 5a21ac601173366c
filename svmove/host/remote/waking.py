"""A guest that goes on by itself when whoever suspended it is cut off from its host."""

import threading
import time
from collections.abc import Callable

from svmove.errors import HostError
from svmove.host import command

# A daemon that is busy may take a moment; one that is gone says so at once.
_PATIENCE = 5.0
_AGAIN = 0.5
# For so long it is tried: a daemon that is restarted is back by then.
_TRIES = 120.0


class Waking:
    """One guest at a time, as a cutover has it. `by_monitor(uuid)` is tried when libvirt does not answer."""

    def __init__(self, by_monitor: Callable[[str], bool]) -> None:
        self._by_monitor = by_monitor
        self._lock = threading.Lock()
        self._set: dict[str, threading.Timer] = {}
        self._fired: set[str] = set()

    def after(self, uuid: str, uri: str, seconds: float | None) -> bool:
        """None: called off. Whether it had not come to it since it was set."""
        with self._lock:
            timer = self._set.pop(uuid, None)
            if timer is not None:
                timer.cancel()
            in_time = uuid not in self._fired
            self._fired.discard(uuid)
            if seconds is not None:
                timer = self._set[uuid] = threading.Timer(seconds, self._wake, (uuid, uri))
                timer.start()
        return in_time

    def finish(self) -> None:
        """Nobody will call it off any more: returns when what is set has come to its end."""
        for timer in list(self._set.values()):
            timer.join()

    def _wake(self, uuid: str, uri: str) -> None:
        with self._lock:
            if self._set.get(uuid) is not threading.current_thread():
                return  # called off
            self._fired.add(uuid)
        deadline = time.monotonic() + _TRIES
        while time.monotonic() < deadline:
            if _resumed(uuid, uri) or self._by_monitor(uuid):
                return
            time.sleep(_AGAIN)


def _resumed(uuid: str, uri: str) -> bool:
    """Whether libvirt says that the guest does not stand still any more."""
    virsh = ["virsh", "-q", "-c", uri]
    try:
        command.run([*virsh, "resume", uuid], timeout=_PATIENCE, tolerant=True)  # it may run already
        return command.run([*virsh, "domstate", uuid], timeout=_PATIENCE).strip() not in ("", "paused")
    except HostError:
        return False
