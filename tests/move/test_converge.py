"""A guest that writes faster than the copy: what is done about it, in the policy's order."""

from dataclasses import replace
from pathlib import Path

import pytest

from svmove.errors import HypervisorError
from svmove.journal import Ask
from svmove.model import DomainState, Versions
from svmove.outcomes import Outcome, State
from svmove.policy import AtDeadline, ConvergePolicy, Policy, Step
from svmove.requests import Method
from svmove.units import KiB
from tests.fake import CrashError, FakeHypervisor, Faults
from tests.move.harm import assert_rolled_back
from tests.move.stage import Stage
from tests.move.test_crashes import crash, every_call, resumed, untouched

OWN = {"total_iops_sec": 900}


def policy(*steps: Step, **changed: object) -> Policy:
    asked = {"evidence": 1.0, "floor_iops": 10, "steps": steps, **changed}
    return Policy(converge=ConvergePolicy(**asked))  # type: ignore[arg-type]


def writing(stage: Stage) -> Stage:
    """Three blocks are written where one is copied."""
    stage.world.writes_at_once, stage.world.per_tick = 3, 1
    for drive in stage.world.drives.values():
        drive.limits = dict(OWN)
    stage.world.own_limits = dict(OWN)
    return stage


def staged(folder: Path, *steps: Step, targets: tuple[str, ...] = ("vda",), **changed: object) -> Stage:
    return writing(Stage(folder, *targets, policy=policy(*steps, **changed)))


def codes(outcome: Outcome) -> set[str]:
    return {finding.code for finding in outcome.findings}


def done(stage: Stage, outcome: Outcome) -> set[str]:
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
    assert stage.check(outcome.move or "") == "done"
    return codes(outcome)


def test_a_mirror_that_gets_ready_by_itself_is_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move()
    assert done(stage, outcome) == set()
    assert stage.facts(outcome.move, "never-ready") == []


def test_what_is_left_and_fits_in_the_pause_is_copied_while_the_guest_stands(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.SUSPEND, targets=("vda", "vdb"))
    outcome = stage.move()
    assert done(stage, outcome) == {"suspended-to-finish"}
    assert max(stage.world.pauses) < 2.0
    # Few seconds, though a disk of four blocks looks now and then as if it got nearer.
    assert stage.world.time < 15
    assert any("never ready as it goes: the guest makes" in (told.text or "") for told in stage.told)


def test_writes_are_held_back_until_the_copy_catches_up_and_the_guests_own_limits_come_back(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.THROTTLE)
    seen: list[dict[str, int]] = []
    stage.world.before["suspend"] = lambda: seen.append(stage.world.drives["vda"].limits)
    outcome = stage.move()
    assert done(stage, outcome) == {"guest-throttled"}
    assert seen[0]["write_iops_sec"] < 20  # one copied where 0.75 are written
    assert seen[0]["read_iops_sec"] + seen[0]["write_iops_sec"] == 900
    assert "total_iops_sec" not in seen[0]


def test_the_copy_is_begun_again_with_synchronous_writes(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.SYNCHRONOUS, targets=("vda", "vdb"))
    outcome = stage.move()
    assert done(stage, outcome) == {"begun-again"}
    assert stage.phases(outcome.move).count("copying") == 2


def test_fine_granules_are_for_mirrors_that_the_guests_writes_do_not_wait_for(tmp_path: Path) -> None:
    """What it has written to both leaves gaps in what is to be copied, and those of 4 KiB would fill holes."""
    for method, expected in ((Method.MIRROR, 4 * KiB), (Method.SYNCHRONOUS, None)):
        stage = Stage(tmp_path / method)
        plan = stage.plan(method=method)
        outcome = stage.run(replace(plan, disks=tuple(replace(disk, granularity=4 * KiB) for disk in plan.disks)))
        done(stage, outcome)
        assert [made.granularity for made in stage.world.options] == [expected]


def test_the_steps_come_in_the_policys_order(tmp_path: Path) -> None:
    steps = (Step.THROTTLE, Step.SYNCHRONOUS)
    stage = staged(tmp_path, *steps, floor_iops=40)  # at 40 a second it does not converge yet
    assert done(stage, stage.move()) == {"guest-throttled", "begun-again"}
    assert stage.world.drives["vda"].limits == OWN


@pytest.mark.parametrize("steps", [(Step.SUSPEND,), (Step.THROTTLE,)])
def test_when_no_step_helps_the_move_is_rolled_back_with_the_figures(tmp_path: Path, steps: tuple[Step, ...]) -> None:
    stage = staged(tmp_path, *steps, floor_iops=40)
    outcome = stage.move(max_pause=0.3)  # in which nothing fits
    measures, kept = codes(outcome), [f for f in outcome.findings if f.code != "guest-throttled"]
    assert kept == []
    assert measures == ({"guest-throttled"} if Step.THROTTLE in steps else set())
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.ROLLED_BACK, "never-ready")
    assert stage.check(outcome.move or "") == "rolled-back"
    assert "60 writes a second" in outcome.error.text or "40 writes a second" in outcome.error.text


def test_without_steps_it_takes_as_long_as_it_takes(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    assert_rolled_back(stage, stage.move(deadline=20.0), "deadline-exceeded")
    assert stage.world.time > 20
    assert any((told.target, told.converges) == ("vda", False) for told in stage.told)


def test_a_longer_pause_ends_it_at_the_deadline_if_the_policy_says_so(tmp_path: Path) -> None:
    stage = staged(tmp_path, at_deadline=AtDeadline.LONGER_PAUSE)
    outcome = stage.move(deadline=20.0, max_pause=0.3)
    assert done(stage, outcome) == {"suspended-to-finish"}
    assert 20 < stage.world.time < 25


def test_a_pause_that_did_not_suffice_costs_one_pause_and_the_copy_goes_on(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.SUSPEND, Step.SYNCHRONOUS)

    def hang() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None and not mirror.synchronous:
            mirror.per_tick = 0

    def go_on() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            mirror.per_tick = 1

    stage.world.before["suspend"], stage.world.before["resume"] = hang, go_on
    outcome = stage.move()
    assert "begun-again" in done(stage, outcome)
    # As often as three times, each with twice the margin.
    assert 1 <= len(stage.facts(outcome.move, "did-not-fit")) <= 3
    assert max(stage.world.pauses) <= 2.05


def test_a_destination_that_does_not_answer_is_neither_suspended_for_nor_made_synchronous(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.SUSPEND, Step.SYNCHRONOUS)

    def hang() -> None:
        stage.world.hangs = True

    stage.world.before["start_copy"] = hang
    assert_rolled_back(stage, stage.move(), "never-ready")
    assert stage.world.pauses == []


@pytest.mark.parametrize(
    "versions",
    [
        Versions(libvirt=7_009_000, qemu=7_002_000),
        Versions(libvirt=9_000_000, qemu=8_000_000),
        Versions(libvirt=12_000_000, qemu=10_002_000),
    ],
)
def test_synchronous_writes_are_not_for_every_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: Versions
) -> None:
    monkeypatch.setattr(FakeHypervisor, "versions", lambda _self: versions)
    stage = staged(tmp_path, Step.SYNCHRONOUS)
    assert_rolled_back(stage, stage.move(), "never-ready")


def test_a_disk_that_shares_its_limits_is_not_held_back(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.THROTTLE, targets=("vda", "vdb"))
    for drive in stage.world.drives.values():
        drive.group = "both"
    assert_rolled_back(stage, stage.move(), "never-ready")
    assert any("shares its limits" in (told.text or "") for told in stage.told)


def test_limits_that_libvirt_refuses_are_told_and_the_next_step_is_taken(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.THROTTLE, Step.SYNCHRONOUS)

    def refuse() -> None:
        raise HypervisorError("not today")

    stage.world.before["set_tuning"] = refuse
    assert "begun-again" in done(stage, stage.move())


def throttled(folder: Path) -> tuple[Stage, str]:
    """svmove died just after it has held the guest's writes back."""
    stage = staged(folder, Step.THROTTLE)
    plan, writes = stage.plan(), []

    def die() -> None:
        writes.append(1)
        if stage.world.drives["vda"].limits != OWN:
            stage.world.faults.strike("virt", "writes")

    stage.world.faults, stage.world.before["writes"] = Faults(), die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before, stage.world.faults = {}, Faults()
    assert "write_iops_sec" in stage.world.drives["vda"].limits
    return stage, plan.move


def test_a_guest_whose_svmove_died_is_not_held_back_for_ever(tmp_path: Path) -> None:
    stage, move = throttled(tmp_path)
    assert stage.mover().relieve(move)
    assert stage.world.drives["vda"].limits == OWN
    assert stage.record(move).phase == "copying"
    assert stage.resume(move).state is State.DONE
    assert stage.check(move) == "done"


def test_what_an_ended_move_could_not_put_back_is_found_and_put_back_by_gc(tmp_path: Path) -> None:
    stage, move = throttled(tmp_path)

    def refuse() -> None:
        raise HypervisorError("not today")

    stage.world.before["set_tuning"] = refuse
    stage.journal.requests.add(move, 0.0, Ask.CANCEL)
    assert stage.resume(move).state is State.ROLLED_BACK
    stage.world.before = {}
    (left,) = stage.mover().leftovers()
    assert (left.kind, left.kept, "vda" in left.text) == ("limits", None, True)
    stage.mover().remove(left)
    assert stage.world.drives["vda"].limits == OWN
    assert stage.mover().leftovers() == ()


def test_the_guard_is_on_duty_while_writes_are_held_back(tmp_path: Path) -> None:
    stage = staged(tmp_path, Step.THROTTLE)
    mover, duty = stage.mover(), list[tuple[str, bool]]()

    def guard(move: str | None) -> None:
        duty.append(("throttled" if stage.world.drives["vda"].limits != OWN else "free", move is not None))

    mover.guard = guard
    from tests.builders import request

    assert mover.move(request()).state is State.DONE
    assert ("free", True) in duty  # before the first limit is in force
    assert ("throttled", False) not in duty
    assert duty[-1] == ("free", False)


def telling(number: int, call: str) -> bool:
    """Every call that changes something, and some of the many looks between them."""
    return number % 11 == 0 or call in {
        "write", "enter", "set_tuning", "start_copy", "cancel_copy", "suspend", "resume", "request_pivot"
    }  # fmt: skip


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("steps", [(Step.THROTTLE,), (Step.SUSPEND,), (Step.SYNCHRONOUS,)], ids=lambda s: s[0].value)
def test_wherever_svmove_dies_the_guest_has_its_own_limits_in_the_end(
    tmp_path: Path, steps: tuple[Step, ...], after_effect: bool
) -> None:
    wrong, ends = [], list[str]()
    made = {"prepare": writing, "policy": policy(*steps), "only": telling}
    sweep = every_call(tmp_path, crash, "vda", after_effect=after_effect, **made)  # type: ignore[arg-type]
    for number, stage, plan, struck in sweep:
        if untouched(stage, plan):
            continue
        try:
            if number % 2:
                stage.world.faults = Faults()
                stage.mover().relieve(plan.move)
                assert stage.world.drives["vda"].limits == OWN
                assert stage.world.state is DomainState.RUNNING
            ends.append(resumed(stage, plan))
        except AssertionError as error:
            wrong.append(f"call {number}, {struck}: {error}".partition("\n")[0])
    assert wrong == []
    assert ends.count("done") > 0.7 * len(ends)
