"""`--freeze` and `--trim`: the guest itself is asked, and is never left frozen."""

from pathlib import Path

import pytest

from svmove.errors import UnreachableError
from svmove.model import Agent, DomainState
from svmove.moves import Level
from svmove.outcomes import State
from svmove.policy import AgentPolicy, Policy
from tests.fake import BLOCK, refuse
from tests.move.harm import assert_rolled_back, at_call, once, stall
from tests.move.stage import Stage
from tests.move.test_relief import kill, killed


def frozen(stage: Stage) -> bool:
    return stage.world.frozen


def silent(stage: Stage) -> None:
    stage.world.agent = Agent.SILENT


# Freeze


def test_the_guest_is_frozen_before_it_is_suspended_and_thawed_after_it_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move(freeze=True)
    assert (outcome.state, outcome.disks[0].verified, outcome.findings) == (State.DONE, True, ())
    acts = ("freeze", "suspend", "request_pivot", "resume", "thaw")
    assert [call for call in stage.world.faults.calls if call in acts] == list(acts)
    assert not frozen(stage)


def test_the_last_look_at_the_destination_and_the_last_chance_to_stop_come_before_the_freeze(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.move(freeze=True)
    calls = stage.world.faults.calls
    assert calls.index("answers") < calls.index("freeze")
    assert set(calls[calls.index("freeze") : calls.index("suspend")]) == {"freeze", "write"}


def test_a_freeze_counts_into_the_pause(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.freeze_takes = 0.6
    outcome = stage.move(freeze=True)
    assert outcome.state is State.DONE
    assert 0.6 <= outcome.seconds.pause <= 2.0
    assert max(stage.world.pauses) < 0.6


def test_a_freeze_that_leaves_no_time_is_thawed_tried_again_and_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.freeze_takes = 1.9
    outcome = stage.move(freeze=True)
    calls = stage.world.faults.calls
    assert_rolled_back(stage, outcome, "pause-exceeded")
    assert (calls.count("freeze"), calls.count("request_pivot")) == (3, 0)
    assert max(stage.world.pauses) < 0.1


def test_a_drain_that_does_not_fit_is_thawed_in_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["job"] = lambda: stall(stage.world)
    outcome = stage.move(freeze=True)
    assert_rolled_back(stage, outcome, "pause-exceeded")
    assert [entry["seconds"] <= 2.0 for entry in stage.facts(outcome.move, "thawed")] == [True] * 3


def test_an_agent_that_falls_silent_before_the_cutover_is_rolled_back_and_the_guest_never_suspended(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, policy=Policy(agent=AgentPolicy(thaw=10.0)))
    stage.world.before["make_scratch"] = lambda: silent(stage)
    outcome = stage.move(freeze=True)
    assert outcome.state is State.ROLLED_BACK
    assert outcome.error is not None
    assert outcome.error.code == "freeze-failed"
    assert stage.world.pauses == []
    # Whether it froze before it fell silent can't be known, so it is told.
    assert [finding.code for finding in outcome.findings] == ["still-frozen"]


def test_a_freeze_that_is_refused_is_tried_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["freeze"] = once(refuse("device is busy"))
    outcome = stage.move(freeze=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())


def test_a_thaw_that_fails_is_tried_until_it_is_through(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["thaw"] = at_call(1, refuse("agent is not responding"))
    outcome = stage.move(freeze=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert not frozen(stage)


def test_a_guest_whose_agent_dies_while_it_is_frozen_is_told_with_the_command_that_thaws(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["resume"] = lambda: silent(stage)
    outcome = stage.move(freeze=True)
    assert outcome.state is State.DONE
    assert [(f.level, f.code, f.remedy) for f in outcome.findings] == [
        (Level.WARN, "still-frozen", "virsh domfsthaw web")
    ]


def test_an_agent_that_comes_back_during_the_verification_thaws_its_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def back() -> None:
        stage.world.agent = Agent.ANSWERS

    stage.world.before = {"resume": lambda: silent(stage), "compare": back}
    outcome = stage.move(freeze=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert not frozen(stage)


def test_a_guest_that_a_person_has_paused_is_moved_without_a_freeze(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def pause() -> None:
        stage.world.state = DomainState.PAUSED

    stage.world.before["make_scratch"] = pause
    assert stage.move(freeze=True).state is State.DONE
    assert "freeze" not in stage.world.faults.calls


def test_a_libvirt_that_goes_away_while_the_guest_is_frozen_thaws_it_when_it_is_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def die() -> None:
        stage.world.daemon_is_dead = True
        raise UnreachableError("lost libvirt")

    def back() -> None:
        stage.world.daemon_is_dead = False
        stage.world.before = {}

    stage.world.before = {"request_pivot": die, "resume": die, "thaw": die, "reconnect": back}
    outcome = stage.move(freeze=True)
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert not frozen(stage)


@pytest.mark.parametrize("call", ["freeze", "suspend", "request_pivot", "begin_export", "resume"])
def test_a_guest_whose_svmove_was_killed_while_it_was_frozen_is_thawed_by_the_guard(tmp_path: Path, call: str) -> None:
    stage, move = killed(tmp_path, call, freeze=True)
    assert frozen(stage)
    stage.mover().relieve(move)
    assert (stage.world.state, frozen(stage)) == (DomainState.RUNNING, False)
    assert stage.resume(move).state in (State.DONE, State.HELD)
    stage.world.check_copies()


def test_the_guard_does_not_leave_while_the_guest_is_frozen(tmp_path: Path) -> None:
    stage, move = killed(tmp_path, "freeze", freeze=True)
    silent(stage)
    assert not stage.mover().relieve(move)
    stage.world.agent = Agent.ANSWERS
    assert stage.mover().relieve(move)
    assert not frozen(stage)


def test_a_guest_that_was_switched_off_while_it_was_frozen_has_nothing_to_thaw(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["resume"] = stage.world.stop_guest
    outcome = stage.move(freeze=True)
    assert outcome.state is State.HELD
    assert "still-frozen" not in [finding.code for finding in outcome.findings]


# Trim


def test_what_the_guest_does_not_use_is_trimmed_first_and_not_copied(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.unused, stage.world.writes = (1, 2), False
    outcome = stage.move(trim=True)
    (disk,) = outcome.disks
    assert (outcome.state, disk.trimmed_bytes, disk.copied_bytes) == (State.DONE, 2 * BLOCK, 2 * BLOCK)


def test_a_trim_that_fails_is_told_and_the_move_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.before["trim"] = refuse("the discard operation is not supported")
    outcome = stage.move(trim=True)
    assert (outcome.state, outcome.disks[0].trimmed_bytes) == (State.DONE, 0)
    assert [(finding.level, finding.code) for finding in outcome.findings] == [(Level.WARN, "trim-failed")]


def test_what_was_freed_is_told_whole_though_svmove_died_over_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.unused, stage.world.writes = (1, 2), False
    move = kill(stage, "trim", trim=True)
    assert stage.resume(move).disks[0].trimmed_bytes == 2 * BLOCK


def test_a_trim_that_takes_minutes_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.unused, stage.world.writes, stage.world.trim_takes = (1, 2), False, 300.0
    outcome = stage.move(trim=True)
    assert (outcome.state, outcome.disks[0].trimmed_bytes, outcome.findings) == (State.DONE, 2 * BLOCK, ())
    assert stage.world.time > 300


def test_a_trim_can_be_interrupted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.trim_takes = 300.0
    stage.world.before["trim"] = stage.cancel.set
    assert_rolled_back(stage, stage.move(trim=True), "interrupted")
    assert stage.world.time < 60


def test_a_trim_that_takes_for_ever_is_told_and_the_move_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.trim_takes = 10_000.0
    outcome = stage.move(trim=True)
    assert outcome.state is State.DONE
    assert [finding.code for finding in outcome.findings] == ["trim-failed"]
    assert stage.world.time < 700


# Both


@pytest.mark.parametrize("agent", [Agent.SILENT, Agent.ABSENT])
@pytest.mark.parametrize("asked", ["trim", "freeze"])
def test_without_an_agent_that_answers_they_are_refused(tmp_path: Path, agent: Agent, asked: str) -> None:
    stage = Stage(tmp_path)
    stage.world.agent = agent
    outcome = stage.move(**{asked: True})
    assert (outcome.state, outcome.error and outcome.error.code) == (State.REFUSED, "no-agent")
    assert outcome.error is not None
    assert f"--{asked}" in (outcome.error.remedy or "")
    assert stage.move().state is State.DONE
