"""Hosts that share a journal on a server: each has its own moves, and all have the same budgets."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from svmove.budgets import PoolPolicy
from svmove.errors import JournalError, RefusedError
from svmove.journal import Kind, postgres
from svmove.outcomes import State
from svmove.placer import Placer
from svmove.policy import Policy
from svmove.requests import Method
from tests.builders import request
from tests.fake import CrashError, FakeClock, FakeHost, FakeHypervisor, FaultyJournal
from tests.move.stage import Stage
from tests.postgres import Server

SHARED = Policy(pools={"fast": PoolPolicy(slots=1, shared=True)})


class Fleet:
    def __init__(self, server: Server, folder: Path) -> None:
        self.url, self.folder = server.emptied(), folder
        self.journals: list[FaultyJournal] = []

    def host(self, name: str, *targets: str, policy: Policy | None = None) -> Stage:
        """One with a guest of its own."""
        (self.folder / name).mkdir()
        stage = Stage(self.folder / name, *targets, policy=policy, uuid=f"guest-of-{name}")
        stage.journal = FaultyJournal(self.url, stage.world)
        stage.journal.database.host = name
        self.journals.append(stage.journal)
        return stage


@pytest.fixture
def fleet(postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(postgres, "_GRACE", "0 seconds")
    made = Fleet(postgresql, tmp_path)
    yield made
    for journal in made.journals:
        journal.close()


@pytest.mark.parametrize("method", [Method.MIRROR, Method.SNAPSHOT])
def test_a_whole_move_is_recorded_on_the_server(fleet: Fleet, method: Method) -> None:
    stage = fleet.host("one", "vda", "vdb")
    outcome = stage.move(method=method)
    assert (outcome.state, stage.check(outcome.move or "")) == (State.DONE, "done")
    assert stage.record(outcome.move).uri == "fake+ssh://one/"


def left(stage: Stage) -> str:
    """A move whose svmove died in mid-copy."""
    move = stage.mover().begin(request()).move or ""

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before["job"] = die
    with pytest.raises(CrashError):
        stage.mover().resume(move)
    stage.world.before = {}
    return move


def test_what_one_host_has_left_is_its_own_to_resume(fleet: Fleet) -> None:
    one, two = fleet.host("one"), fleet.host("two")
    move = left(one)
    assert two.mover().open_moves() == ()
    with pytest.raises(RefusedError, match="fake\\+ssh://one/"):
        two.mover().resume(move)
    assert [(task.uri, task.here) for task in two.mover().tasks()] == [("fake+ssh://one/", False)]
    assert two.mover().leftovers() == ()
    assert one.resume(move).state is State.DONE


def test_a_shared_pool_is_full_for_the_other_host_too(fleet: Fleet) -> None:
    one, two = fleet.host("one", policy=SHARED), fleet.host("two", policy=SHARED)
    seen: list[tuple[State, str | None]] = []

    def meanwhile() -> None:
        if not seen:
            outcome = two.move(wait=False)
            seen.append((outcome.state, outcome.error.code if outcome.error else None))

    one.world.before["start_copy"] = meanwhile
    assert one.move().state is State.DONE
    assert seen == [(State.REFUSED, "no-slot")]
    assert two.move().state is State.DONE


def test_pools_that_are_not_shared_have_their_own_slots_on_each_host(fleet: Fleet) -> None:
    own = Policy(pools={"fast": PoolPolicy(slots=1)})
    one, two = fleet.host("one", policy=own), fleet.host("two", policy=own)
    seen: list[State] = []

    def meanwhile() -> None:
        if not seen:
            seen.append(two.move(wait=False).state)

    one.world.before["start_copy"] = meanwhile
    assert one.move().state is State.DONE
    assert seen == [State.DONE]


def test_a_lost_session_in_the_middle_of_a_move_is_made_up_for(fleet: Fleet, postgresql: Server) -> None:
    stage = fleet.host("one")

    def cut() -> None:
        postgresql.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'svmove %'")

    for call in ("create_volume", "start_copy", "suspend", "resume", "compare"):
        stage.world.before[call] = cut
    outcome = stage.move()
    assert (outcome.state, stage.check(outcome.move or "")) == (State.DONE, "done")
    kinds = [(entry.kind, entry.what) for entry in stage.record(outcome.move).entries if entry.kind is Kind.PHASE]
    assert len(kinds) == len(set(kinds))


def test_a_move_that_another_process_took_up_is_left_to_it(fleet: Fleet, postgresql: Server) -> None:
    """The way to the server was broken for so long that somebody resumed it."""
    stage, other = fleet.host("one"), fleet.host("same")
    taken: list[AbstractContextManager[None]] = []

    def take_over() -> None:
        if taken:
            return
        postgresql.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'svmove %'")
        (move,) = other.journal.moves()
        claim = other.journal.working_on(move.move)
        claim.__enter__()
        taken.append(claim)

    stage.world.before["start_copy"] = take_over
    outcome = stage.move()
    assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, JournalError.code)
    assert outcome.error is not None
    assert "another process works on move" in outcome.error.text
    taken[0].__exit__(None, None, None)
    assert stage.resume(outcome.move or "").state is State.DONE


def test_a_pool_that_one_host_empties_is_open_to_others_and_can_be_emptied_again(fleet: Fleet) -> None:
    one, two = fleet.host("one"), fleet.host("two")
    campaigns = one.journal.campaigns
    for _ in range(2):  # the mark that was taken off is no obstacle to the next one
        campaigns.open(one.mover().uri, "fast", 1.0)
        assert emptying(one) == {"fast"}
        assert emptying(two) == set()
        assert one.move().error is not None
        assert [finding.code for finding in one.mover().plan(request()).findings] == ["pool-emptied"]
        assert campaigns.end(one.mover().uri, "fast")
    assert two.move().state is State.DONE
    assert one.move().state is State.DONE


def emptying(stage: Stage) -> set[str]:
    hypervisor, host = FakeHypervisor(stage.world), FakeHost(stage.world)
    placer = Placer(hypervisor, host, stage.journal, stage.policy, FakeClock(stage.world))
    return {pool.name for pool in placer.fleet().pools if pool.emptying}
