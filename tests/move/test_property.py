"""Any mixture of crashes, errors, lost connections, lies, lost and repeated events, and other people.

`test_crashes.py` hits a move once, everywhere. Here hypothesis hits it several times, in several runs, until it
rests; then a person decides what is held. Whatever the mixture: what is in use is never deleted (the world itself
watches over that), the newest data of each disk has a name, a guest that ran runs, and every move ends.

`HYPOTHESIS_PROFILE=long` searches at random for as many examples as a night allows.
"""

import itertools
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svmove.decisions import Way
from svmove.errors import RefusedError, SvmoveError
from svmove.events import Event, EventKind
from svmove.model import DomainState
from svmove.move.phases import RESTING, Phase
from svmove.moves import Plan
from svmove.requests import Verify
from tests.fake import CrashError, Faults, World
from tests.move.stage import Stage
from tests.move.test_crashes import fail, lose

pytestmark = pytest.mark.usefixtures("quick")

_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

_uuids = (f"6f2c8d1e-1111-4000-8000-{number:012d}" for number in itertools.count())


def _drop_events(world: World) -> None:
    if world.events:
        world.events.clear()


def _repeat_events(world: World) -> None:
    if world.events:
        world.events.extend(list(world.events))


def _lie_about_readiness(world: World) -> None:
    """The event comes too early; a mirror that is not clean says that it is ready."""
    for drive in world.drives.values():
        if drive.mirror is not None:
            drive.mirror.ready = True
        world.emit(Event(kind=EventKind.READY, target=drive.target))


def _spoil_a_pivot(world: World) -> None:
    drive = list(world.drives.values())[-1]
    if drive.mirror is not None:
        drive.mirror.pivot_error = "Operation not permitted"


def _stop_the_guest(world: World) -> None:
    if world.state is not DomainState.OFF:
        world.stop_guest()


def _pause(world: World) -> None:
    if world.state is DomainState.RUNNING:
        world.state = DomainState.PAUSED


def _go_on(world: World) -> None:
    if world.state is DomainState.PAUSED:
        world.state = DomainState.RUNNING


def _cancel(world: World) -> None:
    for drive in world.drives.values():
        if drive.mirror is not None and not drive.mirror.pivoting:
            drive.mirror.cancelled = True


def _pivot(world: World) -> None:
    for drive in world.drives.values():
        if drive.mirror is not None and drive.mirror.ready:
            drive.mirror.pivoting = True


def _fill_the_scratch_space(world: World) -> None:
    world.free = 0


def _end_the_export(world: World) -> None:
    world.export = None


def _let_time_pass(world: World) -> None:
    world.pass_time(0.5)


HARMS: dict[str, Callable[[World], None]] = {
    harm.__name__: harm
    for harm in (
        _drop_events,
        _repeat_events,
        _lie_about_readiness,
        _spoil_a_pivot,
        _stop_the_guest,
        _pause,
        _go_on,
        _cancel,
        _pivot,
        _fill_the_scratch_space,
        _end_the_export,
        _let_time_pass,
    )
}
ERRORS: dict[str, Callable[[str, str], BaseException]] = {
    "crash": lambda _room, call: CrashError(call),
    "lose": lose,
    "fail": fail,
}


@dataclass
class Schedule(Faults):
    """What happens at which call: before it, or an error after its effect."""

    world: Any = None
    due: dict[int, str] = field(default_factory=dict)

    def enter(self, room: str, call: str) -> bool:
        if self.dead:
            raise CrashError(call)
        self.calls.append(call)
        what, _, after = self.due.get(len(self.calls), "").partition("-")
        if what in HARMS:
            HARMS[what](self.world)
        elif what and (what != "lose" or room == "virt"):
            self.make = ERRORS[what]
            if after:
                return True
            self.strike(room, call)
        return False


_what = st.sampled_from([*HARMS, *(f"{error}{after}" for error in ERRORS for after in ("", "-after"))])
_run = st.dictionaries(st.integers(1, 170), _what, max_size=4)


@settings(
    max_examples=20_000 if _LONG else 150,
    derandomize=not _LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    runs=st.lists(_run, min_size=1, max_size=3),
    ways=st.lists(st.sampled_from(Way), min_size=3, max_size=3),
    disks=st.sampled_from([("vda",), ("vda", "vdb"), ("vda", "sda")]),
    proof=st.sampled_from(Verify),
    freeze=st.booleans(),
)
def test_whatever_happens_every_move_ends_and_nothing_is_lost(
    runs: list[dict[int, str]], ways: list[Way], disks: tuple[str, ...], proof: Verify, freeze: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), *disks, uuid=next(_uuids))
        plan = stage.plan(verify=proof, freeze=freeze)
        for number, due in enumerate(runs):
            stage.world.faults = Schedule(world=stage.world, due=due)
            with suppress(CrashError, SvmoveError):
                if number == 0:
                    stage.run(plan)
                else:
                    stage.mover().resume(plan.move)
        stage.world.free = 100 << 30
        _rests(stage, plan)
        _check(stage)
        _decided(stage, ways)
        _check(stage)


def _rests(stage: Stage, plan: Plan) -> None:
    """With nothing more against it, one resume brings it to rest, and a second one does nothing more."""
    stage.world.faults = Faults()
    if not stage.journal.moves(ended=True):
        assert stage.world.marker is None
        return
    stage.resume(plan.move)
    entries = stage.record(plan.move).entries
    assert stage.record(plan.move).phase in RESTING
    stage.resume(plan.move)
    assert stage.record(plan.move).entries == entries


def _decided(stage: Stage, ways: list[Way]) -> None:
    """A person leads it out of HELD: at least one way is open, unless it can't be told where the guest is."""
    for drive in stage.world.drives.values():
        if drive.mirror is not None:
            drive.mirror.pivot_error = None
    for way in ways:
        open_moves = stage.mover().open_moves()
        if not open_moves:
            return
        (move,) = open_moves
        mover = stage.mover()
        with suppress(RefusedError):
            outcome = mover.accept(move) if way is Way.FORWARD else mover.rollback(move)
            assert outcome.move is not None
            assert stage.record(outcome.move).phase in RESTING
        _check(stage)
    (move, *_) = (*stage.mover().open_moves(), None)
    if move is not None:
        refusals = []
        for way in Way:
            try:
                stage.mover().decide(move, way)
            except RefusedError as error:
                refusals.append(error)
        assert len(refusals) < 2 or all(refusal.remedy for refusal in refusals)


def _check(stage: Stage) -> None:
    world = stage.world
    for drive in world.drives.values():
        files = list(world.files.values())
        assert any(file.blocks == drive.truth for file in files), f"{drive.target}: the newest data has no name"
        assert drive.inactive in world.files, f"{drive.target}: the guest could not start again"
        if world.state is not DomainState.OFF:
            assert drive.file in files, f"{drive.target}: the guest's file has lost its name"
            assert drive.file.blocks == drive.truth
    assert world.export is None
    assert world.scratch == {}
    told = [stage.mover().recorded(summary.move).findings for summary in stage.journal.moves(ended=True)]
    still = any(finding.code == "still-frozen" for findings in told for finding in findings)
    assert still or not world.frozen, "the guest can't write, and nobody says so"
    for summary in stage.journal.moves(ended=True):
        stage.check_proofs(summary.move)
        phase = Phase(summary.phase)
        if phase is Phase.DONE and world.state is not DomainState.OFF and world.marker is None:
            on = {drive.path for drive in world.drives.values()}
            planned = {disk.destination.path for disk in stage.record(summary.move).plan.disks}
            assert planned <= on or len(stage.journal.moves(ended=True)) > 1
