"""Stops a real move at a point, and lets something happen there: in mid-copy, when ready, in the cutover, verifying."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from svmove.host.local import LocalHost
from svmove.ports import Host, Hypervisor

Act = Callable[[], None]


class Point(StrEnum):
    COPYING = "in mid-copy"
    READY = "when ready"
    SUSPENDED = "in the cutover, before the pivot"
    BETWEEN = "in the cutover, between two pivots"
    PIVOTING = "in the cutover, after the pivot was asked for"
    VERIFYING = "during the verification"
    COMMITTED = "before the source is deleted"


# The call before which a move is at that point; of the hypervisor or of the host.
_BEFORE = {
    Point.READY: "make_scratch",
    Point.SUSPENDED: "request_pivot",
    Point.PIVOTING: "begin_export",
    Point.VERIFYING: "compare",
    Point.COMMITTED: "delete_volume",
}


class Once:
    """An act that happens at its point, once; `happened` tells."""

    def __init__(self, point: Point, act: Act) -> None:
        self.point, self._act, self.happened = point, act, False
        self._pivots = 0

    def before(self, name: str) -> None:
        if name == _BEFORE.get(self.point):
            self._do()
        if name == "request_pivot":
            self._pivots += 1
            if self.point is Point.BETWEEN and self._pivots == 2:
                self._do()

    def after(self, name: str, result: Any) -> None:
        moving = name == "job" and result is not None and result.end > 1 and result.done > 0
        if self.point is Point.COPYING and moving:
            self._do()

    def _do(self) -> None:
        if not self.happened:
            self.happened = True
            self._act()


class _Watched:
    def __init__(self, real: object, once: Once) -> None:
        self._real, self._once = real, once

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._once.before(name)
            result = found(*args, **kwargs)
            self._once.after(name, result)
            return result

        return call


def watched(hypervisor: Hypervisor, once: Once) -> tuple[Hypervisor, Host]:
    """The real ones, with `once` at its point."""
    wrapped: Any = _Watched(hypervisor, once)
    host: Any = _Watched(LocalHost(), once)
    return wrapped, host
