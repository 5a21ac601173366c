"""One connection to a libvirt daemon: opened, retried, found dead, opened again.

Invariants: libvirt's event loop runs in a thread of its own before the first connection is opened (libvirt
delivers no event otherwise); every libvirtError is translated here, and nowhere else.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

import libvirt
import tenacity

from svmove.errors import HypervisorError, NotFoundError, NotReadyError, SvmoveError, UnreachableError
from svmove.redact import redact
from svmove.retries import Retries, RetryPolicy

T = TypeVar("T")
Way = Callable[[], AbstractContextManager[str]]

# A peer that is silent for 5 s × 3 is gone; without this a dead SSH tunnel would hang a move for ever.
_KEEPALIVE_INTERVAL = 5
_KEEPALIVE_COUNT = 3

_MISSING = {
    libvirt.VIR_ERR_NO_DOMAIN: "domain",
    libvirt.VIR_ERR_NO_STORAGE_POOL: "pool",
    libvirt.VIR_ERR_NO_STORAGE_VOL: "volume",
    libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT: "checkpoint",
}
_loop = threading.Lock()
_loop_runs = False


def _ignore(_context: Any, _error: Any) -> None:
    """libvirt prints every error to stderr unless it is given a handler."""


def _start_event_loop() -> None:
    global _loop_runs
    with _loop:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()

        def run() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=run, name="libvirt-events", daemon=True).start()
        _loop_runs = True


# QEMU 7.2, when a mirror fails while the guest is being suspended (docs/internals.md).
_FILTER_LEFT = (
    "QEMU has kept the filter of an earlier copy that failed above this disk, until the guest's next start: "
    "shut it down and start it again, or move it while it is off"
)


class Connection:
    """Raises UnreachableError when the daemon can't be reached at all."""

    def __init__(self, uri: str, retry: RetryPolicy, way: Way | None = None, retries: Retries | None = None) -> None:
        """`way`: makes the URI by which libvirt is to open the connection, when it is not `uri` itself."""
        self.uri = uri
        self._way = way or (lambda: nullcontext(uri))
        self._transient = {getattr(libvirt, f"VIR_ERR_{code.name}") for code in retry.codes}
        self.retries = retries or Retries(retry)
        _start_event_loop()
        self.raw = self._open()

    def _open(self) -> Any:
        try:
            with self._way() as uri:
                raw = libvirt.open(uri)
            with suppress(libvirt.libvirtError):  # the test driver has no keep-alive
                raw.setKeepAlive(_KEEPALIVE_INTERVAL, _KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            raise UnreachableError(
                f"can't connect to libvirt at {redact(self.uri)}: {error.get_error_message()}", remedy=_remedy(error)
            ) from error
        except ValueError as error:  # a NUL or a lone surrogate in the URI
            raise UnreachableError(f"not a libvirt URI: {redact(self.uri)!r}") from error
        return raw

    def close(self) -> None:
        with suppress(libvirt.libvirtError):
            self.raw.close()

    def reopen(self) -> None:
        self.close()
        for attempt in self.retries.of_connection(UnreachableError):
            with attempt:
                self.raw = self._open()

    def ask(self, call: Callable[[Any], T]) -> T:
        """Runs `call(connection)`, which must be a read or an idempotent act, retrying what is transient."""
        for attempt in self.retries.of_call(lambda e: isinstance(e, HypervisorError) and e.transient):
            with attempt:
                return self.once(call)
        raise AssertionError("tenacity either returns or raises")

    def until(self, holds: Callable[[Any], bool], trouble: str) -> None:
        """Asks `holds(connection)` until it says True. Raises HypervisorError with `trouble` after 45 s.

        libvirt 9.0 handles a domain's events one after the other, and that of a guest's reset waits 30 s in vain
        for the domain while a backup runs: so long the end of the backup is not seen.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(45),
            wait=tenacity.wait_exponential(0.01, max=0.5),
            retry=tenacity.retry_if_result(lambda held: not held),
            retry_error_callback=lambda _state: False,
        )
        if not retrying(self.ask, holds):
            raise HypervisorError(trouble)

    def once(self, call: Callable[[Any], T]) -> T:
        """Runs `call(connection)` once: for acts that must not be repeated blindly."""
        with self.translated():
            return call(self.raw)

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as error:
            raise self._translate(error) from error
        except UnicodeEncodeError as error:
            raise HypervisorError(f"not valid UTF-8: {error.object!r}") from error

    def _translate(self, error: Any) -> SvmoveError:
        number, text = error.get_error_code(), error.get_error_message() or str(error)
        if error.get_error_domain() == libvirt.VIR_FROM_RPC or not self.alive():
            return UnreachableError(f"lost libvirt at {redact(self.uri)}: {text}", remedy=_remedy(error))
        if number in _MISSING:
            return NotFoundError(_MISSING[number], "", text=text)
        if number == libvirt.VIR_ERR_BLOCK_COPY_ACTIVE:
            return NotReadyError(text, number=number)
        transient = number in self._transient
        remedy = _FILTER_LEFT if "Need a root block node" in text else None
        return HypervisorError(text, number=number, transient=transient, remedy=remedy)

    def alive(self) -> bool:
        try:
            return bool(self.raw.isAlive())
        except libvirt.libvirtError:
            return False


def unless_unsupported(call: Callable[[], Any]) -> Any:
    """What the call lists; nothing, where this driver doesn't know of such things. Raises libvirtError."""
    try:
        return call()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return ()
        raise


def _remedy(error: Any) -> str:
    text = error.get_error_message() or ""
    if "Permission denied" in text or error.get_error_code() == libvirt.VIR_ERR_AUTH_FAILED:
        return "run svmove as root (sudo), or name another daemon with --connect"
    if "No such file" in text or "refused" in text:
        return "start libvirtd (systemctl start libvirtd), or name another daemon with --connect"
    return "check --connect, and that the daemon runs: virsh -c URI version"
