"""A move waits for its slots before anything is made, and has its share of its pools' bandwidth."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from svmove.budgets import Place, PlaceKind, PoolPolicy, Priority, SlotsPolicy
from svmove.cli.exits import Exit, of_outcome
from svmove.journal import Ask, Journal
from svmove.outcomes import State
from svmove.policy import Policy
from svmove.units import MiB
from tests.builders import plan
from tests.fake import BLOCK, CrashError
from tests.move.stage import Stage

HERE = os.uname().nodename
HOST = Place(kind=PlaceKind.HOST, name=HERE)
FAST = Place(kind=PlaceKind.POOL, name="fast", host=HERE)
ONE = Policy(slots=SlotsPolicy(host=1))


class Other:
    """Another process, which works on another guest's move and has slots for that."""

    def __init__(self, stage: Stage, *places: Place) -> None:
        self.journal = Journal(stage.url)
        self._stack = ExitStack()
        self.journal.begin(plan(move="other", uuid="other"), "fake:///", "planned")
        self._stack.enter_context(self.journal.working_on("other"))
        self.journal.slots.seize("other", Priority.NORMAL, places, stage.policy.budgets, 0.0)

    def leave(self) -> None:
        self.journal.slots.leave("other")

    def end(self) -> None:
        self._stack.close()


class Queue:
    """What happens while a move waits, in place of a long time."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage = stage
        self.then: list[Callable[[], object]] = []
        self.waited = 0
        self.other: Other | None = None
        monkeypatch.setattr(stage.journal.database, "await_call", self._wait)

    def _wait(self, _move: str, seconds: float, *_: Any) -> None:
        self.waited += 1
        assert self.waited < 50, "it waits for ever"
        self.stage.world.pass_time(min(seconds, 10.0))
        if self.then:
            self.then.pop(0)()

    def occupy(self, *places: Place) -> Other:
        self.other = Other(self.stage, *places)
        return self.other


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, policy=ONE)


@pytest.fixture
def queue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    made = Queue(stage, monkeypatch)
    yield made
    if made.other is not None:
        made.other.end()


def untouched(stage: Stage) -> bool:
    return stage.world.marker is None and stage.destinations() == {"vda": False} and stage.world.locked == set()


def test_it_holds_nothing_while_it_waits_and_goes_on_when_there_is_a_slot(stage: Stage, queue: Queue) -> None:
    other = queue.occupy(HOST)
    seen: list[bool] = []
    queue.then = [lambda: seen.append(untouched(stage)), lambda: seen.append(untouched(stage)), other.leave]
    outcome = stage.move()
    assert (outcome.state, seen, queue.waited) == (State.DONE, [True, True], 3)
    assert outcome.seconds.waited == pytest.approx(30.0)
    assert f"waits for a slot of host {HERE} (position 1)" in [told.text for told in stage.told]
    assert stage.journal.slots.holders([HOST]) == {HOST: 0}
    assert stage.check(outcome.move or "") == "done"


def test_a_free_slot_is_not_waited_for_and_is_given_back(stage: Stage, queue: Queue) -> None:
    outcome = stage.move()
    assert (outcome.state, queue.waited, outcome.seconds.waited) == (State.DONE, 0, 0.0)
    (had,) = stage.facts(outcome.move, "slot")
    assert had["places"] == [["host", HERE, None], ["pool", "fast", HERE], ["pool", "slow", HERE]]
    assert stage.journal.slots.holders([HOST]) == {HOST: 0}
    assert stage.move(to="slow").state is State.DONE


def test_a_guest_that_is_not_as_it_was_when_the_slot_is_free_is_left_alone(stage: Stage, queue: Queue) -> None:
    other = queue.occupy(HOST)

    def somebody_marks() -> None:
        stage.world.marker = "20000101-000000-aaaaaa"
        other.leave()

    queue.then = [somebody_marks]
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "changed")
    assert stage.world.marker == "20000101-000000-aaaaaa"


@pytest.mark.parametrize("by", ["Ctrl-C", "cancel"])
def test_to_stop_one_that_waits_ends_it_with_nothing_made(stage: Stage, queue: Queue, by: str) -> None:
    queue.occupy(HOST)

    def cancel() -> None:
        stage.journal.requests.add(next(m for m in stage.mover().open_moves() if m != "other"), 0.0, Ask.CANCEL)

    queue.then = [stage.cancel.set if by == "Ctrl-C" else cancel]
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "interrupted")
    assert of_outcome(outcome) is Exit.INTERRUPTED
    assert untouched(stage)
    assert stage.journal.slots.waiting(ONE.budgets) == {}
    assert stage.check(outcome.move or "") == "rolled-back"


def test_a_pool_that_others_have_filled_while_it_waited_is_not_copied_to(stage: Stage, queue: Queue) -> None:
    def fill() -> None:
        stage.world.pools["fast"] = replace(stage.world.pools["fast"], available=MiB)
        other.leave()

    other = queue.occupy(HOST)
    queue.then = [fill]
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "no-space")
    assert "while this move waited: pool fast has 1.0 MiB" in (outcome.error.text if outcome.error else "")
    assert untouched(stage)


def test_a_pool_that_was_stopped_while_it_waited_is_not_copied_to(stage: Stage, queue: Queue) -> None:
    def stop() -> None:
        stage.world.pools["fast"] = replace(stage.world.pools["fast"], active=False)
        other.leave()

    other = queue.occupy(HOST)
    queue.then = [stop]
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "changed")
    assert untouched(stage)


def test_its_deadline_counts_while_it_waits(stage: Stage, queue: Queue) -> None:
    queue.occupy(HOST)
    outcome = stage.move(deadline=15.0)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "deadline-exceeded")
    assert (queue.waited, untouched(stage)) == (2, True)


def test_one_that_is_not_to_wait_is_refused(stage: Stage, queue: Queue) -> None:
    queue.occupy(HOST)
    outcome = stage.move(wait=False)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.REFUSED, "no-slot")
    assert outcome.error is not None
    assert f"host {HERE}, as number 1" in outcome.error.text
    assert of_outcome(outcome) is Exit.REFUSED
    assert (queue.waited, untouched(stage)) == (0, True)
    assert stage.mover().open_moves() == ("other",)


def left(stage: Stage, call: str) -> str:
    """svmove died just after its first `call`."""
    made = stage.plan()

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(made)
    stage.world.before = {}
    return made.move


def test_one_that_was_copying_takes_its_slot_again_and_does_not_wait(stage: Stage, queue: Queue) -> None:
    move = left(stage, "job")
    queue.occupy(HOST)
    there: list[int] = []
    stage.world.before["begin_export"] = lambda: there.append(Journal(stage.url).slots.holders([HOST])[HOST])
    assert stage.resume(move).state is State.DONE
    assert (queue.waited, there) == (0, [2])


def test_a_move_of_an_older_svmove_counts_too(stage: Stage, queue: Queue) -> None:
    move = left(stage, "job")
    with stage.journal.database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM entries WHERE what = 'slot'")
        connection.exec_driver_sql("DELETE FROM tickets")
    there: list[int] = []
    stage.world.before["begin_export"] = lambda: there.append(Journal(stage.url).slots.holders([FAST])[FAST])
    assert stage.resume(move).state is State.DONE
    assert there == [1]


@pytest.mark.parametrize("call", ["set_marker", "create_volume"])
def test_one_that_had_not_begun_to_copy_waits_again(stage: Stage, queue: Queue, call: str) -> None:
    move = left(stage, call)
    other = queue.occupy(HOST)
    queue.then = [other.leave]
    assert stage.resume(move).state is State.DONE
    assert queue.waited == 1


def test_the_task_pane_tells_who_waits_for_what(stage: Stage, queue: Queue) -> None:
    other = queue.occupy(HOST)
    seen: list[Any] = []
    queue.then = [lambda: seen.extend(stage.mover().tasks()), other.leave]
    stage.move(priority=Priority.LOW)
    task = next(task for task in seen if task.move != "other")
    assert str(task.waits) == f"waits for a slot of host {HERE} (position 1)"
    assert (task.phase, task.priority, task.host, task.process) == ("planned", Priority.LOW, HERE, os.getpid())
    assert next(task for task in seen if task.move == "other").waits is None
    assert task.here


def test_a_pool_s_slots_count_for_source_and_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("fast", "slow")):
        (tmp_path / str(number)).mkdir()
        stage = Stage(tmp_path / str(number), policy=Policy(pools={name: PoolPolicy(slots=1)}))
        queue = Queue(stage, monkeypatch)
        other = queue.occupy(replace(FAST, name=name))
        queue.then = [other.leave]
        assert (stage.move().state, queue.waited) == (State.DONE, 1)
        other.end()


# Bandwidth


def caps(stage: Stage) -> list[int | None]:
    """What QEMU was given, each time that svmove asks how far it is."""
    found: list[int | None] = []

    def look() -> None:
        if (mirror := stage.world.drives["vda"].mirror) is not None:
            found.append(mirror.cap)

    stage.world.before["job"] = look
    return found


def test_a_pool_s_bandwidth_is_divided_and_divided_again_when_a_move_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, policy=Policy(pools={"fast": PoolPolicy(bandwidth=BLOCK // 4)}))
    stage.world.writes = False
    other = Queue(stage, monkeypatch).occupy(HOST, FAST)
    found = caps(stage)
    look = stage.world.before["job"]

    def look_and_leave() -> None:
        look()
        if len(found) == 3:
            other.leave()

    stage.world.before["job"] = look_and_leave
    outcome = stage.move()
    other.end()
    assert outcome.state is State.DONE
    assert found[0] == BLOCK // 8  # at which nothing goes on in this world
    assert BLOCK // 4 in found
    assert stage.facts(outcome.move, "rate") == []  # says nothing of how fast these pools are


def test_a_move_s_own_limit_counts_where_it_is_lower(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(pools={"slow": PoolPolicy(bandwidth=64 * MiB)}))
    stage.world.writes = False
    found = caps(stage)
    assert stage.move(bandwidth=3 * MiB).state is State.DONE
    assert found[0] == 3 * MiB


def test_without_a_limit_nobody_looks_who_else_copies(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.journal.slots, "holders", None)
    assert stage.move().state is State.DONE
