"""A held move ends by a person's word: forward or back."""

from pathlib import Path

import pytest

from svmove.decisions import Way
from svmove.errors import NotFoundError, RefusedError
from svmove.model import DomainState
from svmove.mover import Mover
from svmove.outcomes import State
from tests.fake import CrashError, FakeClock, FakeHost, FakeHypervisor, Faults, refuse
from tests.move.stage import Stage

SOURCE = "/pools/slow/web-vda.qcow2"
DESTINATION = "/pools/fast/web-vda.qcow2"


def held_on_destination(folder: Path) -> tuple[Stage, str]:
    stage = Stage(folder)
    stage.world.before["begin_export"] = refuse("no backup")
    outcome = stage.move()
    assert outcome.state is State.HELD
    assert outcome.move is not None
    return stage, outcome.move


def test_a_move_that_is_held_on_its_destinations_goes_forward(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    outcome = stage.mover().accept(move)
    assert outcome.state is State.DONE
    assert not outcome.disks[0].verified
    assert stage.check(move) == "done"
    assert stage.sources() == {"vda": False}


def held_on_source(folder: Path) -> tuple[Stage, str]:
    """The copy can't be cancelled, as when the destination's storage stalls."""
    stage = Stage(folder)

    def forget() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            mirror.cancelled = False

    stage.world.before = {"make_scratch": refuse("no"), "next": forget, "holds": forget}
    outcome = stage.move()
    assert (outcome.state, outcome.move is None) == (State.HELD, False)
    stage.world.before = {}
    assert outcome.move is not None
    return stage, outcome.move


def test_a_move_that_is_held_on_its_sources_goes_back(tmp_path: Path) -> None:
    stage, move = held_on_source(tmp_path)
    decision = stage.mover().decide(move, Way.BACK)
    assert [(fate.keeps, fate.loses) for fate in decision.fates] == [((SOURCE,), (DESTINATION,))]
    assert stage.mover().rollback(move).state is State.ROLLED_BACK
    assert stage.check(move) == "rolled-back"
    assert stage.destinations() == {"vda": False}


def test_a_move_that_is_held_on_its_sources_goes_forward_from_the_copy_on(tmp_path: Path) -> None:
    stage, move = held_on_source(tmp_path)
    decision = stage.mover().decide(move, Way.FORWARD)
    assert [(fate.keeps, fate.loses) for fate in decision.fates] == [((SOURCE, DESTINATION), ())]
    outcome = stage.mover().accept(move)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert stage.check(move) == "done"


def test_a_move_that_is_held_on_its_destinations_goes_back_by_a_move_that_loses_nothing(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    stage.world.before = {}
    stage.world.pass_time(1.0)  # the guest writes
    decision = stage.mover().decide(move, Way.BACK)
    assert [(fate.keeps, fate.loses) for fate in decision.fates] == [((SOURCE,), (DESTINATION,))]
    outcome = stage.mover().rollback(move)
    assert (outcome.state, outcome.move == move, outcome.disks[0].verified) == (State.DONE, False, True)
    drive = stage.world.drives["vda"]
    assert (drive.path, drive.inactive) == (outcome.disks[0].destination, outcome.disks[0].destination)
    assert drive.path.startswith("/pools/slow/web-vda-")
    stage.world.check_copies()
    # The old source is what it was at the cutover, and is told of.
    assert (stage.sources(), stage.destinations(), stage.world.marker) == ({"vda": True}, {"vda": False}, None)
    old = stage.mover().recorded(move)
    assert (old.state, [f.code for f in old.findings if f.code == "source-kept"]) == (
        State.HANDED_OVER,
        ["source-kept"],
    )
    assert any(SOURCE in finding.text for finding in outcome.findings)
    (left,) = stage.mover().leftovers()
    assert (left.path, left.kept is None) == (SOURCE, False)


def test_a_way_back_that_is_refused_leaves_the_move_held_as_it_was(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    before = stage.record(move).entries
    stage.world.free = 0
    with pytest.raises(RefusedError, match="can't be moved back"):
        stage.mover().rollback(move)
    assert before == stage.record(move).entries
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})


def off_after_the_pivot(folder: Path) -> tuple[Stage, str]:
    """svmove and libvirt die with the pivot asked for; QEMU pivots, the guest writes on, and goes off. libvirt has
    missed it: the next start would be from the stale source."""
    stage = Stage(folder)
    plan = stage.plan()
    stage.world.xml_lags = True
    stage.world.faults = Faults(at=_number_of(folder, "request_pivot"), after_effect=True)
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.faults = Faults()
    stage.world.state = DomainState.RUNNING
    stage.world.pass_time(1.0)
    newest = list(stage.world.drives["vda"].file.blocks)
    stage.world.state = DomainState.OFF
    drive = stage.world.drives["vda"]
    assert stage.world.files[DESTINATION].blocks == newest
    assert (drive.inactive, drive.mirror) == (SOURCE, None)
    assert stage.resume(plan.move).state is State.HELD
    return stage, plan.move


def _number_of(folder: Path, call: str) -> int:
    whole = Stage(folder, uuid="6f2c8d1e-0000-4000-8000-0000000000ff")
    plan, whole.world.faults = whole.plan(), Faults()
    whole.run(plan)
    return whole.world.faults.calls.index(call) + 1


def test_a_guest_that_went_off_after_a_pivot_was_asked_for_is_held_with_both_copies(tmp_path: Path) -> None:
    stage, move = off_after_the_pivot(tmp_path)
    outcome = stage.mover().recorded(move)
    assert outcome.error is not None
    assert outcome.error.code == "unclear"
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})


def test_it_goes_forward_to_the_destination_with_the_newest_writes(tmp_path: Path) -> None:
    stage, move = off_after_the_pivot(tmp_path)
    assert stage.mover().accept(move).state is State.DONE
    assert stage.world.drives["vda"].inactive == DESTINATION
    stage.world.check_copies()
    assert (stage.sources(), stage.world.marker) == ({"vda": True}, None)
    (left,) = stage.mover().leftovers()
    assert (left.path, left.kept is None) == (SOURCE, False)  # had QEMU not pivoted, it would be the newer one


def test_it_goes_back_to_the_source_and_the_destination_is_kept_for_good(tmp_path: Path) -> None:
    stage, move = off_after_the_pivot(tmp_path)
    assert stage.mover().rollback(move).state is State.ROLLED_BACK
    assert stage.world.drives["vda"].inactive == SOURCE
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})
    (left,) = stage.mover().leftovers()
    assert (left.path, left.kept is None) == (DESTINATION, False)


def test_a_guest_that_can_not_be_told_where_it_is_stays_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.xml_lags = True
    stage.world.before["set_sources"] = refuse("read-only file system")
    outcome = stage.move()
    assert outcome.move is not None
    with pytest.raises(RefusedError, match="can't be told"):
        stage.mover().accept(outcome.move)
    assert stage.record(outcome.move).phase == "held"
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})


def test_a_copy_that_differs_is_told_as_such_and_its_source_goes_only_by_a_persons_word(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def corrupt() -> None:
        frozen = stage.world.drives["vda"].frozen
        assert frozen is not None
        frozen[1] += 1

    stage.world.before["compare"] = corrupt
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "mismatch")
    assert outcome.move is not None
    (fate,) = stage.mover().decide(outcome.move, Way.FORWARD).fates
    assert "found to DIFFER" in fate.text
    assert fate.loses == (SOURCE,)
    assert stage.mover().accept(outcome.move).state is State.DONE
    assert stage.sources() == {"vda": False}


def test_only_a_held_move_can_be_accepted(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    outcome = stage.move()
    assert outcome.move is not None
    with pytest.raises(RefusedError, match="not held"):
        stage.mover().accept(outcome.move)
    with pytest.raises(NotFoundError):
        stage.mover().accept("none")


def test_to_resume_a_held_move_changes_nothing(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    before = stage.record(move).entries
    assert stage.resume(move).state is State.HELD
    assert before == stage.record(move).entries
    assert stage.sources() == {"vda": True}


def test_a_domain_of_a_held_move_is_not_moved_again(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    outcome = stage.move(to="slow")
    assert (outcome.state, outcome.error and outcome.error.code) == (State.REFUSED, "move-running")
    assert stage.mover().open_moves() == (move,)


def test_a_move_on_another_daemon_is_left_to_it(tmp_path: Path) -> None:
    stage, move = held_on_destination(tmp_path)
    hypervisor = FakeHypervisor(stage.world)
    hypervisor.uri = "fake:///other"
    other = Mover(hypervisor, FakeHost(stage.world), stage.journal, stage.policy, FakeClock(stage.world))
    assert other.open_moves() == ()
    for act in (other.resume, other.accept, other.rollback, other.cancel):
        with pytest.raises(RefusedError, match="fake:///"):
            act(move)
