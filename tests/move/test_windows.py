"""Windows of a move: its limit by the time of the day, and the switch that waits for its hour.

The world begins at 22:13:20 UTC on a Tuesday.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from svmove.errors import HypervisorError
from svmove.journal import Ask
from svmove.model import Event, EventKind
from svmove.move.phases import Phase
from svmove.outcomes import State
from svmove.policy import ConvergePolicy, Policy, Step
from svmove.requests import Method
from svmove.units import KiB, MiB
from svmove.windows import BandwidthWindow, CutoverWindow, Moment, Windows
from tests.builders import NOW
from tests.fake import BLOCK, CrashError, Faults
from tests.move.stage import Stage
from tests.move.test_converge import writing

SLOW = BLOCK // 8  # stops a fake mirror
OPENS = 40.0  # 22:14:00
LIVE = [Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT]


def policy(*windows: CutoverWindow | BandwidthWindow) -> Policy:
    return replace(
        Policy(),
        windows=Windows(
            bandwidth=tuple(w for w in windows if isinstance(w, BandwidthWindow)),
            cutover=tuple(w for w in windows if isinstance(w, CutoverWindow)),
        ),
    )


def cutover(begin: str = "22:14", end: str = "23:00") -> CutoverWindow:
    return CutoverWindow(from_=begin, to=end, zone="UTC")


def limit(rate: int | None, begin: str, end: str) -> BandwidthWindow:
    return BandwidthWindow(from_=begin, to=end, zone="UTC", rate=rate)


def pivoted(stage: Stage) -> list[float]:
    """When each pivot was asked for is noted from now on."""
    times: list[float] = []
    stage.world.before["request_pivot"] = lambda: times.append(stage.world.time)
    return times


def later(stage: Stage, seconds: float, act: Callable[[], object]) -> None:
    """Once, at the first look after that time."""
    done: list[bool] = []

    def look() -> None:
        if stage.world.time >= seconds and not done:
            done.append(True)
            act()

    stage.world.before["next"] = look


def only(stage: Stage) -> str:
    (move,) = stage.mover().open_moves()
    return move


def said(stage: Stage) -> list[str]:
    return [seen.text for seen in stage.told if seen.text and seen.target is None]


# The switch


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


# What is done about a copy that is never ready


def limits(stage: Stage) -> list[tuple[float, bool]]:
    """Whether the guest's writes are held back, as each look finds it."""
    found: list[tuple[float, bool]] = []
    drive = stage.world.drives["vda"]
    stage.world.before["job"] = lambda: found.append((stage.world.time, drive.limits != stage.world.own_limits))
    return found


def throttling(folder: Path, *windows: CutoverWindow | BandwidthWindow) -> Stage:
    """Of a guest that writes three blocks where one is copied."""
    steps = replace(policy(*windows), converge=ConvergePolicy(evidence=1.0, floor_iops=10, steps=(Step.THROTTLE,)))
    return writing(Stage(folder, policy=steps))


def test_a_guest_is_not_held_back_before_its_window_opens(tmp_path: Path) -> None:
    stage = throttling(tmp_path, cutover())
    found = limits(stage)
    outcome = stage.move(method=Method.MIRROR)
    assert outcome.state is State.DONE
    assert {held for time, held in found if time < OPENS} == {False}
    assert True in {held for time, held in found if time > OPENS}
    assert stage.check(outcome.move or "") is Phase.DONE


def test_a_guest_that_is_held_back_when_the_window_closes_is_let_go_until_the_next(tmp_path: Path) -> None:
    stage = throttling(tmp_path, cutover("22:13", "22:13:32"), cutover("22:14", "23:00"))
    found = limits(stage)
    outcome = stage.move(method=Method.MIRROR)
    assert outcome.state is State.DONE
    assert True in {held for time, held in found if time < 12}
    assert {held for time, held in found if 13 < time < OPENS} == {False}
    assert True in {held for time, held in found if time > OPENS}
    assert stage.check(outcome.move or "") is Phase.DONE


def test_a_guest_is_not_held_back_for_a_window_that_makes_its_copy_slow(tmp_path: Path) -> None:
    stage = throttling(tmp_path, limit(8 * BLOCK, "22:00", "22:14"))
    found = limits(stage)
    outcome = stage.move(method=Method.MIRROR)
    assert outcome.state is State.DONE
    assert {held for time, held in found if time < OPENS} == {False}
    assert True in {held for time, held in found if time > OPENS}


# The limit


def caps(stage: Stage) -> list[tuple[float, int | None]]:
    """QEMU's limit as each look finds it."""
    found: list[tuple[float, int | None]] = []

    def look() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            found.append((stage.world.time, mirror.cap))

    stage.world.before["job"] = look
    return found


def test_a_window_that_closes_in_mid_copy_lets_it_go_on_faster(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(limit(SLOW, "22:00", "22:14")))
    outcome = stage.move()
    assert (outcome.state, stage.world.time > OPENS) == (State.DONE, True)
    assert stage.world.time < OPENS + 30
    assert stage.facts(outcome.move, "rate") == []  # says nothing of how fast these pools are


def test_a_window_that_opens_in_mid_copy_holds_it_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(limit(SLOW, "22:13:21", "22:14")))
    stage.world.per_tick = 0
    found = caps(stage)

    def copy_again() -> None:
        stage.world.per_tick = 2
        mirror = stage.world.drives["vda"].mirror
        assert mirror is not None
        mirror.per_tick = 2

    later(stage, 10.0, copy_again)
    assert stage.move().state is State.DONE
    assert found[0][1] is None
    assert {cap for time, cap in found if 3 < time < OPENS - 1} <= {SLOW, 5 * SLOW}  # through holes
    assert stage.world.time > OPENS


def test_a_limit_that_begins_with_the_copy_is_given_to_it_from_the_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb", policy=policy(limit(10 * MiB, "22:00", "23:00")))
    stage.move()
    assert [options.bandwidth for options in stage.world.options] == [5 * MiB, 5 * MiB]


def test_a_person_s_limit_counts_before_the_window_s(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(limit(SLOW, "22:00", "23:00")))
    later(stage, 20.0, lambda: stage.mover().change(only(stage), bandwidth=None))
    assert stage.move().state is State.DONE
    assert 20 <= stage.world.time < 60


def test_a_limit_that_was_asked_for_is_not_lifted_by_a_window(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(limit(None, "22:00", "23:00")))
    found = caps(stage)
    later(stage, 20.0, lambda: stage.mover().change(only(stage), bandwidth=None))
    assert stage.move(bandwidth=SLOW).state is State.DONE
    assert found[0][1] == SLOW


def test_while_it_waits_the_limit_follows_the_windows_and_is_lifted_for_the_cutover(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover(), limit(MiB, "22:13:40", "22:18")))
    found = caps(stage)
    last: list[int | None] = []

    def suspended() -> None:
        mirror = stage.world.drives["vda"].mirror
        last.append(mirror.cap if mirror else -1)

    stage.world.before["suspend"] = suspended
    assert stage.move().state is State.DONE
    assert {cap for time, cap in found if 5 < time < 19} == {None}
    assert {cap for time, cap in found if 22 < time < 39} == {MiB}
    assert last == [None]


# The plan


def test_a_plan_says_that_the_switch_waits(tmp_path: Path) -> None:
    plan = Stage(tmp_path, policy=policy(cutover())).plan()
    assert [(finding.code, "22:14 (UTC)" in finding.text) for finding in plan.findings] == [("cutover-waits", True)]
    assert not plan.refused


def test_a_deadline_before_the_window_is_refused_with_a_remedy(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("23:30", "24:00")))
    outcome = stage.move(deadline=3600.0)
    assert outcome.state is State.REFUSED
    assert [finding.code for finding in outcome.findings] == ["window-after-deadline"]
    assert "--deadline 2h" in (outcome.findings[0].remedy or "")
    assert not stage.plan(deadline=7200.0).refused


def test_a_window_that_will_be_over_when_it_is_copied_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover("22:00", "22:14")))
    plan = stage.plan(bandwidth=1 * KiB, deadline=20000.0, method=Method.MIRROR)
    assert "window-after-deadline" in [finding.code for finding in plan.findings]
    assert not plan.refused


def test_an_older_journal_s_plan_has_no_windows(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=policy(cutover()))
    stage.world.before["create_volume"] = lambda: (_ for _ in ()).throw(HypervisorError("no"))
    outcome = stage.move()
    assert stage.record(outcome.move).plan.windows == policy(cutover()).windows
