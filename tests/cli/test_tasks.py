"""The commands about moves that are there: tasks, show, wait, cancel, accept, rollback, set, resume --all, gc."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from svmove.cli.context import Options
from svmove.cli.main import run
from svmove.errors import UnreachableError
from svmove.journal import Figures, working_on
from tests.builders import plan
from tests.fake import CrashError, Faults, refuse
from tests.move.stage import Stage

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fake guest `web` for the commands, in place of a daemon."""
    made = Stage(tmp_path, "vda", "vdb")
    monkeypatch.setattr(Options, "mover", lambda _options: made.mover())
    monkeypatch.setattr(Options, "open_journal", lambda _options: made.journal)
    return made


def left(stage: Stage) -> str:
    """A move whose svmove died in mid-copy."""
    plan = stage.plan()

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before["job"] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before, stage.world.faults = {}, Faults()
    return plan.move


def held(stage: Stage) -> str:
    """A move whose verification was not possible: the guest is on its destinations."""
    stage.world.before["begin_export"] = refuse("no backup")
    outcome = stage.move()
    stage.world.before = {}
    assert outcome.move is not None
    return outcome.move


def document(captured: Captured) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(captured.readouterr().out)
    return found


def test_the_task_pane_of_nothing_says_so(capsys: Captured, stage: Stage) -> None:
    assert run(["tasks"]) == 0
    assert capsys.readouterr().out == "no moves\n"
    assert run(["tasks", "--json"]) == 0
    assert document(capsys) == {"schema": 1, "tasks": []}


def test_a_task_has_these_keys(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    assert run(["tasks", "--json"]) == 0
    (task,) = document(capsys)["tasks"]
    end = task["end_bytes"]
    assert (task.pop("age_seconds") > 0, task.pop("done_bytes") <= task.pop("end_bytes"), end > 0) == (True, True, True)
    assert task == {
        "move": move,
        "domain": "web",
        "uri": "fake:///",
        "disks": ["vda", "vdb"],
        "phase": "copying",
        "converges": None,
        "state": "left",
        "rate": None,
        "remaining_seconds": None,
        "process": None,
        "host": None,
        "here": True,
        "priority": "normal",
        "waits": None,
        "cutover": None,
    }


def test_the_task_pane_shows_how_far_each_is_and_what_is_to_be_done(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    stage.journal.board.tell(move, 0.0, "copying", {"vda": Figures(done=25 << 20, end=100 << 20, rate=5 << 20)})
    with working_on(stage.journal.folder, move):
        assert run(["tasks"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in (move, "web", "vda vdb", "copying", "25 %", "5.0 MiB/s", "15.0 s", "running"))
    assert run(["tasks"]) == 0
    assert f"svmove resume {move}" in capsys.readouterr().out


def test_without_libvirt_the_task_pane_shows_what_the_journal_tells(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    move = left(stage)

    def gone(_options: Options) -> None:
        raise UnreachableError("lost libvirt")

    monkeypatch.setattr(Options, "mover", gone)
    assert run(["tasks", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["tasks"][0]["move"] == move
    assert "lost libvirt" in printed.err


def test_ended_moves_are_shown_when_asked_for(capsys: Captured, stage: Stage) -> None:
    stage.move()
    assert run(["tasks"]) == 0
    assert capsys.readouterr().out == "no moves\n"
    assert run(["tasks", "--all", "--json"]) == 0
    assert [task["state"] for task in document(capsys)["tasks"]] == ["ended"]


def test_to_watch_is_for_people(capsys: Captured, stage: Stage) -> None:
    assert run(["tasks", "--watch", "--json"]) == 2


def test_a_history_has_every_entry_and_the_outcome(capsys: Captured, stage: Stage) -> None:
    move = stage.move().move
    assert move is not None
    assert run(["show", move, "--json"]) == 0
    found = document(capsys)
    assert (found["state"], found["phase"], found["ended"]) == ("done", "done", True)
    kinds = {entry["kind"] for entry in found["history"]}
    assert kinds == {"intent", "fact", "phase"}
    assert set(found["history"][0]) == {"at", "phase", "kind", "what", "target", "data"}
    assert run(["show", move]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("pivot", "verified", "every byte"))


def test_a_history_of_an_unknown_move_is_refused(capsys: Captured, stage: Stage) -> None:
    assert run(["show", "nothing"]) == 3
    assert run(["wait", "nothing", "--json"]) == 3
    assert document(capsys)["error"]["code"] == "no-such-move"


def test_to_wait_for_a_move_ends_as_the_move_does(capsys: Captured, stage: Stage) -> None:
    move = stage.move().move
    assert move is not None
    assert run(["wait", move, "--json"]) == 0
    assert document(capsys)["state"] == "done"


def test_a_move_that_nobody_works_on_is_not_waited_for(capsys: Captured, stage: Stage) -> None:
    assert run(["wait", left(stage), "--json"]) == 5
    assert document(capsys)["error"]["code"] == "unfinished"


def test_what_was_left_is_cancelled(capsys: Captured, stage: Stage) -> None:
    assert run(["cancel", left(stage), "--json"]) == 0
    assert document(capsys)["state"] == "rolled-back"
    assert stage.destinations() == {"vda": False, "vdb": False}


def test_what_is_done_can_not_be_cancelled(capsys: Captured, stage: Stage) -> None:
    assert run(["cancel", stage.move().move or ""]) == 3
    assert "it is done" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["accept", "rollback"])
def test_a_dry_run_says_what_would_be_kept_and_lost(capsys: Captured, stage: Stage, command: str) -> None:
    move = held(stage)
    assert run([command, move, "--dry-run", "--json"]) == 0
    found = document(capsys)
    assert (found["move"], found["way"]) == (move, "forward" if command == "accept" else "back")
    lost = "/pools/slow/web-vda.qcow2" if command == "accept" else "/pools/fast/web-vda.qcow2"
    assert (found["disks"][0]["target"], found["disks"][0]["loses"]) == ("vda", [lost])
    assert run([command, move, "--dry-run"]) == 0
    assert lost in capsys.readouterr().out
    assert stage.record(move).phase == "held"


@pytest.mark.parametrize("command", ["accept", "rollback"])
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_without_anybody_to_ask_yes_must_be_said(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, stage: Stage, command: str, arguments: list[str]
) -> None:
    move = held(stage)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run([command, move, *arguments]) == 2
    assert "--yes" in capsys.readouterr().err
    assert stage.record(move).phase == "held"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code", "phase"), [("n\n", 5, "held"), ("y\n", 0, "done")])
def test_a_person_is_asked(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, stage: Stage, answer: str, code: int, phase: str
) -> None:
    move = held(stage)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert run(["accept", move]) == code
    assert "/pools/slow/web-vda.qcow2" in capsys.readouterr().err
    assert stage.record(move).phase == phase


def test_a_move_goes_back_and_exits_with_0_because_that_was_asked_for(capsys: Captured, stage: Stage) -> None:
    assert run(["rollback", held(stage), "--yes", "--json"]) == 0
    found = document(capsys)
    assert (found["state"], [disk["pool_to"] for disk in found["disks"]]) == ("done", ["slow", "slow"])


def test_what_is_not_held_can_not_be_decided(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    for command in ("accept", "rollback"):
        assert run([command, move, "--yes"]) == 3
        assert "not held" in capsys.readouterr().err


def test_to_resume_all_of_nothing_is_done(capsys: Captured, stage: Stage) -> None:
    assert run(["resume", "--all", "--json"]) == 0
    assert document(capsys) == {"schema": 1, "moves": []}
    assert run(["resume", "--all"]) == 0
    assert capsys.readouterr().out == "nothing to resume\n"


def test_to_resume_all_that_end_well_exits_with_0(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    assert run(["resume", "--all", "--json"]) == 0
    assert [(found["move"], found["state"]) for found in document(capsys)["moves"]] == [(move, "done")]


def test_of_all_those_come_first_that_do_not_wait_for_a_slot(capsys: Captured, stage: Stage) -> None:
    stage.journal.begin(plan(move="older", uuid="gone", created=1.0), "fake:///", "planned")
    move = left(stage)
    assert run(["resume", "--all", "--json"]) == 4
    assert [found["move"] for found in document(capsys)["moves"]] == [move, "older"]


def test_one_that_is_rolled_back_makes_it_4(capsys: Captured, stage: Stage) -> None:
    left(stage)
    stage.world.before["make_scratch"] = refuse("no")
    assert run(["resume", "--all", "--json"]) == 4


def test_one_that_is_held_makes_it_5(capsys: Captured, stage: Stage) -> None:
    held(stage)
    assert run(["resume", "--all"]) == 5


def test_one_that_another_process_works_on_is_left_to_it(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    with working_on(stage.journal.folder, move):
        assert run(["resume", "--all"]) == 0
    assert "works on move" in capsys.readouterr().err
    assert stage.record(move).phase == "copying"


def test_all_or_one(capsys: Captured, stage: Stage) -> None:
    assert run(["resume", "--all", "x"]) == 2


def test_what_is_left_behind_is_listed_and_removed_only_with_yes(capsys: Captured, stage: Stage) -> None:
    stage.world.before["delete_volume"] = refuse("permission denied")
    stage.move()
    stage.world.before = {}
    assert run(["gc", "--json"]) == 0
    found = document(capsys)["leftovers"]
    assert [(one["kind"], one["kept"], one["removed"]) for one in found] == [("volume", None, False)] * 2
    assert set(found[0]) == {"kind", "move", "domain", "path", "text", "kept", "removed"}
    assert stage.sources() == {"vda": True, "vdb": True}
    assert run(["gc"]) == 0
    assert "svmove gc --yes removes 2" in capsys.readouterr().out
    assert run(["gc", "--yes"]) == 0
    assert stage.sources() == {"vda": False, "vdb": False}
    capsys.readouterr()
    assert run(["gc"]) == 0
    assert capsys.readouterr().out == "nothing is left behind\n"


def test_what_can_not_be_removed_is_told(capsys: Captured, stage: Stage) -> None:
    stage.world.before["delete_volume"] = refuse("permission denied")
    stage.move()
    assert run(["gc", "--yes"]) == 3
    assert "permission denied" in capsys.readouterr().err


def test_a_move_is_given_other_terms(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    assert run(["set", move, "--bandwidth", "50MiB/s", "--json"]) == 0
    found = {"schema": 1, "move": move, "bandwidth": 50 << 20, "max_pause": 2.0, "deadline": None, "process": None}
    assert document(capsys) == {**found, "cutover": None}
    assert run(["set", move, "--bandwidth", "none", "--max-pause", "1s", "--deadline", "2h"]) == 0
    said = capsys.readouterr().out
    assert (
        said
        == f"bandwidth none, pause at most 1.0 s, deadline 2 h 0 min\nnobody works on it now: svmove resume {move}\n"
    )


def test_the_hour_of_the_switch_is_changed(capsys: Captured, stage: Stage) -> None:
    move = left(stage)
    assert run(["set", move, "--cutover", "2100-01-01T22:00+00:00", "--json"]) == 0
    cutover = document(capsys)["cutover"]
    assert (cutover["at"], cutover["local"][:5]) == (4102524000.0, "2100-")
    assert run(["set", move, "--cutover", "2100-01-01 22:00 UTC"]) == 0
    assert ", cutover from 2100-01-01 22:00 (UTC) on\n" in capsys.readouterr().out
    assert run(["tasks", "--json"]) == 0
    assert document(capsys)["tasks"][0]["cutover"]["zone"] == "UTC"
    assert run(["tasks"]) == 0
    assert "is switched from 2100-01-01 22:00 (UTC) on" in capsys.readouterr().out
    assert run(["set", move, "--cutover", "now", "--json"]) == 0
    assert stage.journal.requests.changes(move)["cutover"]["at"] < 4102524000.0
    assert run(["set", move, "--cutover", "now"]) == 0
    assert ", cutover at once\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--bandwidth", "50"], 2),
        (["--max-pause", "soon"], 2),
        (["--max-pause", "1ms"], 3),
        (["--cutover", "soon"], 2),
        (["--cutover", "2020-01-01T00:00"], 2),
    ],
)
def test_terms_without_meaning_are_refused(capsys: Captured, stage: Stage, words: list[str], code: int) -> None:
    move = left(stage)
    assert run(["set", move, *words]) == code
    assert capsys.readouterr().err
    assert stage.journal.requests.changes(move) == {}


def test_a_move_that_has_ended_or_is_not_known_can_not_be_changed(capsys: Captured, stage: Stage) -> None:
    outcome = stage.move()
    for move in (outcome.move or "", "20240101-000000-ffffff"):
        assert run(["set", move, "--bandwidth", "none"]) == 3
