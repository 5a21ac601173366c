"""svmove crashes, at every call. On the real lab: before and after each journal write and each call that acts, and
at the first look of each kind in each phase, the walk is cut off as by SIGKILL, and a fresh svmove resumes it."""

from collections import Counter
from typing import Any

import pytest

from svmove.journal import Journal
from svmove.model import DomainState
from svmove.outcomes import Outcome, State
from svmove.requests import DiskRequest, Method, Request
from svmove.virt.hypervisor import LibvirtHypervisor
from tests.real.faults.conftest import Ended, Scene
from tests.real.faults.points import Wrapped
from tests.real.world import GUEST

ACTS = frozenset(
    {"begin", "write", "enter", "set_marker", "create_volume", "refresh_pool", "start_copy", "set_bandwidth"}
    | {"make_scratch", "suspend", "request_pivot", "begin_export", "resume", "end_export", "remove_scratch"}
    | {"delete_volume", "cancel_copy", "lay_over", "copy_image", "rebase", "begin_merge", "set_sources"}
)
# Each is called again and again while something is awaited; the first of its phase stands for all.
LOOKS = frozenset(
    {"domain", "job", "exports", "volume_names", "volume_at", "paths_in_use", "pools", "image", "process", "holds"}
    | {"holders", "identity", "allocated", "size", "answers", "probe", "free", "compare", "events"}
    | {"extents", "shares_all", "compare_local", "inactive_images", "based_on"}
)


class CrashError(BaseException):
    """Nothing of svmove runs any more, no `finally` either."""


class Sweep:
    """Names each call of a move, such as "suspend (cutover)"; crashes at one of them."""

    def __init__(self, at: str | None = None, *, after: bool = False) -> None:
        self.names: list[str] = []
        self._at, self._after = at, after
        self._phase = "planned"
        self._times: Counter[str] = Counter()
        self.dead = False

    def name(self, call: str, args: tuple[Any, ...]) -> str | None:
        if call == "enter":
            self._phase = str(args[2])
        if call not in ACTS | LOOKS:
            return None
        what = f"{call} {args[4]}" if call == "write" else call
        name = f"{what} ({self._phase})"
        self._times[name] += 1
        times = self._times[name]
        if times > 1 and call in LOOKS | {"set_bandwidth"}:
            return None
        return name if times == 1 else f"{name}, {times}"

    def wrap(self, real: Any) -> Any:
        return Wrapped(real, self._around)

    def _around(self, call: str, method: Any, args: Any, kwargs: Any) -> Any:
        if self.dead:
            raise CrashError(call)
        name = self.name(call, args)
        if name is not None:
            self.names.append(name)
        strikes = name is not None and name == self._at
        if strikes and not self._after:
            self._crash(call)
        result = method(*args, **kwargs)
        if strikes:
            if call == "probe":
                result.give_up()  # the kernel would end it with us
            self._crash(call)
        return result

    def _crash(self, call: str) -> None:
        self.dead = True
        raise CrashError(call)


def walked(scene: Scene, sweep: Sweep, method: Method) -> Outcome | None:
    """A move of vdb to the pool where it is not; None when it crashed."""
    journal = Journal(str(scene.world.cli.journal))
    hypervisor: LibvirtHypervisor = sweep.wrap(scene.world.hypervisor)
    mover = scene.world.mover(hypervisor=hypervisor, host=sweep.wrap(scene.world.host), journal=sweep.wrap(journal))
    disks = (DiskRequest(target="vdb"),)
    request = Request(domain=GUEST, to=scene.world.other("vdb"), disks=disks, method=method)
    try:
        return mover.move(request)
    except CrashError:
        return None


@pytest.mark.parametrize("method", [Method.MIRROR, Method.SNAPSHOT])
def test_wherever_svmove_crashes_one_resume_ends_the_move(scene: Scene, row: Ended, method: Method) -> None:
    whole = Sweep()
    outcome = walked(scene, whole, method)
    assert outcome is not None
    assert outcome.state is State.DONE
    wrong: list[str] = []
    for name in dict.fromkeys(whole.names):
        for after in (False, True):
            where = f"{'after' if after else 'before'} {name}"
            sweep = Sweep(name, after=after)
            scene.set()
            try:
                outcome = walked(scene, sweep, method)
                assert sweep.dead, f"not reached: {outcome}"
                _resumed(scene, row, where, "" if method is Method.MIRROR else f" (method {method})")
            except AssertionError as error:
                wrong.append(f"{where}: {str(error)[:400]}")
                scene.world.tidy()
                for path in scene.world.files() - {scene.world.path(target) for target in ("vda", "vdb")}:
                    path.unlink()
                for path in scene.world.journal_folder.glob("journal.sqlite*"):
                    path.unlink()
    assert not wrong, "\n".join(wrong)


def _resumed(scene: Scene, row: Ended, where: str, how: str) -> None:
    mover = scene.mover()
    left = mover.open_moves()
    if not left:  # before the first line of the journal, or after the last
        assert scene.world.domain().marker is None
        return
    (move,) = left
    outcome = mover.resume(move)
    assert outcome.state is State.DONE, f"{outcome.state}: {outcome.error}"
    assert outcome.disks[0].verified
    assert scene.world.path("vdb") == scene.destination
    assert scene.world.domain().state is DomainState.RUNNING
    assert mover.open_moves() == ()
    row(f"svmove crashes, then svmove resume{how}", where, outcome)
