"""Stops a real move at a point, and lets something happen there: in mid-copy, when ready, in the cutover, verifying."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from svmove.host.local import LocalHost
from svmove.host.nodes import Values, no_secrets
from svmove.ports import Hypervisor
from svmove.ports_host import Host

Act = Callable[[], None]


class Point(StrEnum):
    PREPARED = "before the copy"
    COPYING = "in mid-copy"
    READY = "when ready"
    SUSPENDED = "in the cutover, before the pivot"
    BETWEEN = "in the cutover, between two pivots"
    PIVOTING = "in the cutover, after the pivot was asked for"
    VERIFYING = "during the verification"
    COMMITTED = "before the source is deleted"
    # of the method snapshot
    FROZEN = "frozen, before the copy"
    COMPARING = "while frozen file and copy are compared"
    MERGING = "in the merge"
    SWITCHED = "in the merge, after its switch was asked for"


# The call before which a move is at that point; of the hypervisor or of the host.
_BEFORE = {
    Point.PREPARED: "probe",
    Point.READY: "make_scratch",
    Point.SUSPENDED: "request_pivot",
    Point.PIVOTING: "begin_export",
    Point.VERIFYING: "compare",
    Point.COMMITTED: "delete_volume",
    Point.FROZEN: "copy_image",
    Point.COMPARING: "compare_local",
}


class Once:
    """An act that happens at its point, once; `happened` tells."""

    def __init__(self, point: Point, act: Act) -> None:
        self.point, self._act, self.happened = point, act, False
        self._pivots = 0
        self._merging = False

    def around(self, name: str, method: Any, args: Any, kwargs: Any) -> Any:
        self._before(name)
        result = method(*args, **kwargs)
        self._after(name, result)
        return result

    def _before(self, name: str) -> None:
        if name == _BEFORE.get(self.point):
            self._do()
        if name == "request_pivot":
            self._pivots += 1
            if self.point is Point.BETWEEN and self._pivots == 2:
                self._do()

    def _after(self, name: str, result: Any) -> None:
        moving = name == "job" and result is not None and result.end > 1 and result.done > 0
        if self.point is Point.COPYING and moving:
            self._do()
        self._merging = self._merging or name == "begin_merge"
        if self.point is Point.MERGING and self._merging:
            self._do()
        if self.point is Point.SWITCHED and self._merging and name == "request_pivot":
            self._do()

    def _do(self) -> None:
        if not self.happened:
            self.happened = True
            self._act()


class Wrapped:
    """The real one, with something around each call: `around(name, method, args, kwargs)`, which makes the call."""

    def __init__(self, real: object, around: Callable[[str, Any, Any, Any], Any]) -> None:
        self._real, self._around = real, around

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._around(name, found, args, kwargs)


def watched(hypervisor: Hypervisor, once: Once, values: Values = no_secrets) -> tuple[Hypervisor, Host]:
    """The real ones, with `once` at its point. `values`: of libvirt's secrets."""
    wrapped: Any = Wrapped(hypervisor, once.around)
    host: Any = Wrapped(LocalHost(values), once.around)
    return wrapped, host
