"""The switch that waits for its hour."""

from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.events import Event, EventKind
from svmove.journal import Ask
from svmove.move.phases import Phase
from svmove.outcomes import State
from svmove.policy import Policy
from svmove.requests import Method
from svmove.windows import Moment
from tests.builders import NOW
from tests.fake import CrashError, Faults
from tests.move.stage import Stage
from tests.move.windowed import LIVE, OPENS, cutover, later, only, pivoted, policy, said


@pytest.mark.parametrize("method", LIVE)
def test_a_copy_that_is_ready_waits_for_its_window_and_follows_the_guest(tmp_path: Path, method: Method) -> None:
    stage = Stage(tmp_path, "vda", "vdb", policy=policy(cutover()))
    times = pivoted(stage)
    outcome = stage.move(method=method)
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True])
    assert times[0] >= OPENS
    assert times[0] <= OPENS + 2
    assert stage.check(outcome.move or "") is Phase.DONE
    assert [text for text in said(stage) if "window" in text] == ["ready; the cutover window opens at 22:14 (UTC)"]
    ready = [seen for seen in stage.told if seen.phase == "ready" and seen.target == "vda"]
    assert len(ready) > 50
    assert all(pause < 1 for pause in stage.world.pauses)
    assert stage.phases(outcome.move).count("cutover") == 1


def test_in_an_open_window_nothing_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("22:00", "23:00")))
    times = pivoted(stage)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert times[0] < 10
    assert stage.facts(outcome.move, "waits") == []


def test_at_a_time_means_not_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    times = pivoted(stage)
    outcome = stage.move(at=Moment(at=NOW + 20, zone="UTC"))
    assert outcome.state is State.DONE
    assert 20 <= times[0] < 22


def test_at_a_time_between_windows_the_next_one_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("22:13", "22:13:30"), cutover("22:14", "22:16")))
    times = pivoted(stage)
    assert stage.move(at=Moment(at=NOW + 20, zone="UTC")).state is State.DONE
    assert OPENS <= times[0] < OPENS + 2


def test_a_guest_that_is_off_is_switched_in_the_window_too_and_can_be_started_until_then(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    stage.stop_guest()
    locked: list[bool] = []
    later(stage, 20.0, lambda: locked.append(bool(stage.world.locked)))
    times: list[float] = []
    stage.world.before["set_sources"] = lambda: times.append(stage.world.time)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert locked == [False]
    assert OPENS <= times[0] < OPENS + 2
    assert stage.check(outcome.move or "") is Phase.DONE


def test_a_guest_that_is_started_while_its_copy_waits_is_let_go(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    stage.stop_guest()
    later(stage, 20.0, stage.world.start_guest)
    outcome = stage.move()
    stage.off = False
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "guest-started")
    assert stage.world.time < 30
    assert stage.check(outcome.move or "") is Phase.ROLLED_BACK


def test_a_person_opens_the_window_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    times = pivoted(stage)

    def now() -> None:
        terms, _ = stage.mover().change(only(stage), cutover=Moment(at=NOW + stage.world.time, zone="UTC"))
        assert terms.cutover is None

    later(stage, 20.0, now)
    assert stage.move().state is State.DONE
    assert 20 <= times[0] < 22


def test_a_person_puts_it_off(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    times = pivoted(stage)
    late = Moment(at=NOW + 80, zone="UTC")
    later(stage, 20.0, lambda: stage.mover().change(only(stage), cutover=late))
    assert stage.move().state is State.DONE
    assert 80 <= times[0] < 82
    assert said(stage)[-1] == "ready; the cutover window opens at 22:14:40 (UTC)"


def test_what_waits_is_cancelled_as_anything_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    later(stage, 20.0, lambda: stage.journal.requests.add(only(stage), 0.0, Ask.CANCEL))
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "interrupted")
    assert stage.world.time < 40
    assert stage.check(outcome.move or "") is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda stage: stage.world.fail_mirror("vda", "No space left on device"), "no-space"),
        (lambda stage: stage.world.stop_guest(), "guest-stopped"),
        (lambda stage: setattr(stage.world.drives["vda"], "mirror", None), "job-vanished"),
        (lambda stage: stage.world.cut.add("/pools/fast/web-vda.qcow2"), "destination-replaced"),
        (lambda stage: stage.world.make_file("/pools/fast/web-vda.qcow2"), "destination-replaced"),
        (
            lambda stage: stage.world.emit(Event(kind=EventKind.CANCELED, target="vda")),
            "job-cancelled",
        ),
    ],
    ids=["fails", "stopped", "vanished", "cut", "replaced", "cancelled"],
)
def test_what_goes_wrong_while_it_waits_is_found_then(
    tmp_path: Path, harm: Callable[[Stage], object], code: str
) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    later(stage, 20.0, lambda: harm(stage))
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, code)
    assert stage.world.time < 35


def test_a_deadline_ends_the_waiting_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    later(stage, 20.0, lambda: stage.mover().change(only(stage), deadline=30.0))
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "deadline-exceeded")


def test_a_window_that_closes_before_the_guest_is_suspended_is_waited_for_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("22:13", "22:13:30"), cutover("22:14", "22:16")))
    times = pivoted(stage)
    # Its storage hangs from the last look before the suspend on, until after the window.
    stage.world.before["make_scratch"] = lambda: setattr(stage.world, "hangs", stage.world.time < 20)
    stage.world.before["answers"] = lambda: setattr(stage.world, "hangs", stage.world.hangs and stage.world.time < 20)
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert len(times) == 1
    assert OPENS <= times[0] < OPENS + 2
    assert stage.phases(outcome.move).count("cutover") == 2
    assert stage.check(outcome.move or "") is Phase.DONE


@pytest.mark.parametrize(("call", "off"), [("next", False), ("suspend", False), ("next", True), ("set_sources", True)])
def test_an_svmove_that_died_is_resumed_by_the_same_windows(tmp_path: Path, call: str, off: bool) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("22:14", "22:16")))
    if off:
        stage.stop_guest()
    plan = stage.plan()

    def die() -> None:
        if stage.world.time > 10:
            stage.world.before = {}
            stage.world.faults.strike("virt", call)

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.faults = Faults()
    stage.world.pass_time(300)  # past the window
    stage.policy = Policy()
    switched: list[float] = []
    later(stage, stage.world.time + 10, lambda: stage.journal.requests.add(plan.move, 0.0, Ask.CANCEL))
    for pivot in ("request_pivot", "set_sources"):
        stage.world.before[pivot] = lambda: switched.append(stage.world.time)
    outcome = stage.resume(plan.move)
    assert (outcome.state, switched) == (State.ROLLED_BACK, [])
    assert any("2023-11-15 22:14 (UTC)" in text for text in said(stage))
    assert stage.check(plan.move) is Phase.ROLLED_BACK


def test_a_switch_that_some_disks_went_through_is_carried_through_outside_of_the_window(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb", policy=policy(cutover("22:14", "22:15")))

    def fail() -> None:
        mirror = stage.world.drives["vdb"].mirror
        assert mirror is not None
        mirror.pivot_error = "Input/output error"
        stage.world.before = {"compare": lambda: stage.world.pass_time(120)}

    stage.world.before["request_pivot"] = fail
    outcome = stage.move(deadline=1000.0)  # or it would wait for the next evening
    assert (outcome.state, [disk.verified for disk in outcome.disks]) == (State.DONE, [True, True])
    assert len(stage.facts(outcome.move, "waits")) == 1
    assert stage.world.time < 2000
