"""Stops a real move at a point, and lets something happen there: in mid-copy, when ready, in the cutover, verifying."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from svmove.mover import Mover
from tests.real.world import World

Act = Callable[[], None]
Around = Callable[[str, Any, Any, Any], Any]  # of a call: its name, method, and arguments; it makes the call


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
    """The real one, with something around each call."""

    def __init__(self, real: object, around: Around) -> None:
        self._real, self._around = real, around

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._around(name, found, args, kwargs)


def watched(world: World, once: Once, **more: Any) -> Mover:
    """A mover that works on the real ones, with `once` at its point. `more`: of `World.mover`."""
    return wrapped(world, once.around, **more)


def wrapped(world: World, around: Around, **more: Any) -> Mover:
    """Likewise, with that around each call of hypervisor and host."""
    hypervisor: Any = Wrapped(world.hypervisor, around)
    host: Any = Wrapped(world.host, around)
    return world.mover(hypervisor=hypervisor, host=host, **more)
