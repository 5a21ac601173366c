"""A held move ends by a person's word: forward or back, where the guest is."""

from pathlib import Path

import pytest

from svmove.errors import NotFoundError, RefusedError
from svmove.mover import Mover
from svmove.moves import State
from tests.fake import FakeClock, FakeHost, FakeHypervisor, refuse
from tests.move.stage import Stage


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


def test_a_move_that_is_held_on_its_sources_goes_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def forget() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None:
            mirror.cancelled = False

    stage.world.before = {"make_scratch": refuse("no"), "next": forget, "holds": forget}
    outcome = stage.move()
    assert (outcome.state, outcome.move is None) == (State.HELD, False)
    stage.world.before = {}
    assert outcome.move is not None
    assert stage.mover().accept(outcome.move).state is State.ROLLED_BACK
    assert stage.check(outcome.move) == "rolled-back"
    assert stage.destinations() == {"vda": False}


def test_a_guest_that_can_not_be_told_where_it_is_stays_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.xml_lags = True
    outcome = stage.move()
    assert outcome.move is not None
    with pytest.raises(RefusedError, match="can't be told"):
        stage.mover().accept(outcome.move)
    assert stage.record(outcome.move).phase == "held"
    assert (stage.sources(), stage.destinations()) == ({"vda": True}, {"vda": True})


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
    for act in (other.resume, other.accept):
        with pytest.raises(RefusedError, match="fake:///"):
            act(move)
