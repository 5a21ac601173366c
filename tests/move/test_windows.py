"""Windows of a move: its limit by the time of the day, what is done about a copy that is not ready, and the plan."""

from dataclasses import replace
from pathlib import Path

from svmove.errors import HypervisorError
from svmove.move.phases import Phase
from svmove.outcomes import State
from svmove.policy import ConvergePolicy, Step
from svmove.requests import Method
from svmove.units import KiB, MiB
from svmove.windows import BandwidthWindow, CutoverWindow
from tests.fake import BLOCK
from tests.move.stage import Stage
from tests.move.test_converge import writing
from tests.move.windowed import OPENS, SLOW, cutover, later, limit, only, policy

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
    assert any(held for time, held in found if time > OPENS)
    assert stage.check(outcome.move or "") is Phase.DONE


def test_a_guest_that_is_held_back_when_the_window_closes_is_let_go_until_the_next(tmp_path: Path) -> None:
    stage = throttling(tmp_path, cutover("22:13", "22:13:32"), cutover("22:14", "23:00"))
    found = limits(stage)
    outcome = stage.move(method=Method.MIRROR)
    assert outcome.state is State.DONE
    assert any(held for time, held in found if time < 12)
    assert {held for time, held in found if 13 < time < OPENS} == {False}
    assert any(held for time, held in found if time > OPENS)
    assert stage.check(outcome.move or "") is Phase.DONE


def test_a_guest_is_not_held_back_for_a_window_that_makes_its_copy_slow(tmp_path: Path) -> None:
    stage = throttling(tmp_path, limit(8 * BLOCK, "22:00", "22:14"))
    found = limits(stage)
    outcome = stage.move(method=Method.MIRROR)
    assert outcome.state is State.DONE
    assert {held for time, held in found if time < OPENS} == {False}
    assert any(held for time, held in found if time > OPENS)


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
