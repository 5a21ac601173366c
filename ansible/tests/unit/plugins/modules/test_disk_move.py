"""A guest's disks are in a pool: what is called, in which order, and what a playbook gets."""

from __future__ import annotations

import pytest
from ansible_collections.svmove.svmove.plugins.modules import disk_move
from ansible_collections.svmove.svmove.tests.unit.documents import FINDING, error, move, plan, refusal, tasks

NONE = [[0, tasks(), ""]]
WANTED = {"domain": "web", "to": "fast"}


def test_a_disk_that_is_not_there_is_moved(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE, move=[[0, move(), ""]])
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["changed"], found["state"], found["move"], found["bytes"], found["pause"]) == (
        True,
        "done",
        "m1",
        512,
        0.1,
    )
    assert svmove.words == [
        ["plan", "--json", "--to=fast", "--", "web"],
        ["tasks", "--json"],
        ["move", "--json", "--to=fast", "--", "web"],
    ]


def test_a_disk_that_is_there_is_left_alone(svmove, run):
    svmove.plays(plan=[[0, plan("already-there"), ""]], tasks=NONE)
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["changed"], found["state"], found["diff"]) == (False, "already-there", {"before": {}, "after": {}})


def test_check_mode_moves_nothing_and_shows_pool_file_and_format(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE)
    found = run(disk_move.main, check=True, executable=str(svmove.path), **WANTED)
    assert (found["changed"], found["state"], found["estimate"]["bytes"]) == (True, "planned", 512)
    assert found["diff"] == {
        "before": {"vda": {"pool": "slow", "source": "/slow/web.qcow2", "format": "raw"}},
        "after": {"vda": {"pool": "fast", "source": "/fast/web.qcow2", "format": "qcow2"}},
    }


@pytest.mark.parametrize("check", [True, False])
def test_what_speaks_against_a_move_is_an_error_in_check_mode_too(svmove, run, check):
    refused = plan("refused", [refusal("no-space"), refusal("no-scratch")])
    svmove.plays(plan=[[3, refused, ""]], tasks=NONE)
    found = run(disk_move.main, check=check, executable=str(svmove.path), **WANTED)
    assert (found["failed"], found["code"], found["rc"], found["remedy"]) == (True, "no-space", 3, "more room")
    assert found["msg"] == "it says no-space; it says no-scratch (more room)"


def test_a_move_that_was_left_is_resumed_and_no_second_one_begun(svmove, run):
    svmove.plays(
        plan=[[3, plan("refused", [refusal("move-running")]), ""], [0, plan("already-there"), ""]],
        tasks=[[0, tasks("left"), ""], [0, tasks(), ""]],
        resume=[[0, move(ident="m0"), ""]],
    )
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["changed"], found["state"], found["move"], found["resumed"]) == (True, "done", "m0", ["m0"])
    assert [words[0] for words in svmove.words] == ["plan", "tasks", "resume", "plan", "tasks"]


def test_a_move_that_was_left_is_resumed_in_the_background_when_nobody_waits(svmove, run):
    svmove.plays(
        plan=[[3, plan("refused"), ""]], tasks=[[0, tasks("left"), ""]], resume=[[0, move("started", ident="m0"), ""]]
    )
    found = run(disk_move.main, executable=str(svmove.path), wait=False, **WANTED)
    assert (found["changed"], found["state"], found["move"], found["resumed"]) == (True, "started", "m0", ["m0"])
    assert svmove.words[-1] == ["resume", "--json", "--detach", "m0"]


def test_after_a_resumed_move_to_elsewhere_comes_the_one_that_was_asked_for(svmove, run):
    svmove.plays(
        plan=[[0, plan(), ""]],
        tasks=[[0, tasks("left"), ""], [0, tasks(), ""]],
        resume=[[130, move("rolled-back", error("interrupted")), ""]],
        move=[[0, move(ident="m2"), ""]],
    )
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["move"], found["resumed"], found["changed"]) == ("m2", ["m0"], True)


def test_a_resumed_move_that_fails_is_the_task_s_failure(svmove, run):
    svmove.plays(
        plan=[[0, plan(), ""]],
        tasks=[[0, tasks("left"), ""]],
        resume=[[5, move("held", error("mismatch", "destination")), ""]],
    )
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["failed"], found["code"], found["guest_on"], found["changed"]) == (
        True,
        "mismatch",
        "destination",
        True,
    )


def test_a_move_that_runs_is_waited_for_or_told(svmove, run):
    answers = {
        "plan": [[0, plan("already-there"), ""]],
        "tasks": [[0, tasks("running"), ""], [0, tasks(), ""]],
        "wait": [[0, move(ident="m0"), ""]],
        "show": [[0, {**move("held", ident="m0"), "history": []}, ""]],
    }
    found = run(disk_move.main, executable=str(svmove.plays(**answers).path), **WANTED)
    assert (found["state"], found["move"], found["changed"], found["resumed"]) == ("done", "m0", True, [])
    found = run(disk_move.main, executable=str(svmove.plays(**answers).path), wait=False, **WANTED)
    assert (found["state"], found["move"], found["changed"]) == ("running", "m0", False)


@pytest.mark.parametrize(("state", "code"), [("held", "mismatch"), ("unknown", "unfinished")])
def test_what_a_person_must_decide_is_not_decided(svmove, run, state, code):
    shown = {**move("held", error("mismatch", "destination")), "history": []}
    svmove.plays(plan=[[3, plan("refused"), ""]], tasks=[[0, tasks(state), ""]], show=[[0, shown, ""]])
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert (found["failed"], found["code"], found["state"], found["move"]) == (True, code, state, "m0")
    assert not {"resume", "move", "accept", "rollback"} & {words[0] for words in svmove.words}


def test_in_check_mode_a_move_that_was_left_is_not_resumed(svmove, run):
    shown = {**move("held", ident="m0"), "history": []}
    svmove.plays(plan=[[3, plan("refused"), ""]], tasks=[[0, tasks("left"), ""]], show=[[0, shown, ""]])
    found = run(disk_move.main, check=True, executable=str(svmove.path), **WANTED)
    assert (found["changed"], found["resumed"], found["diff"]["after"]["vda"]["pool"]) == (True, ["m0"], "fast")


def test_resume_false_makes_an_error_of_what_was_left(svmove, run):
    svmove.plays(plan=[[3, plan("refused"), ""]], tasks=[[0, tasks("left"), ""]])
    found = run(disk_move.main, executable=str(svmove.path), resume=False, **WANTED)
    assert (found["code"], found["remedy"]) == ("unfinished", "svmove resume m0")


def test_another_host_s_move_of_a_guest_of_that_name_is_not_ours(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=[[0, tasks("left", here=False), ""]], move=[[0, move(), ""]])
    assert run(disk_move.main, executable=str(svmove.path), **WANTED)["state"] == "done"


def test_a_move_that_is_rolled_back_fails_and_says_where_the_guest_is(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE, move=[[4, move("rolled-back", error("no-space")), ""]])
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    told = {key: found[key] for key in ("failed", "changed", "code", "guest_on", "remedy", "move", "state", "rc")}
    assert told == {
        "failed": True,
        "changed": False,
        "code": "no-space",
        "guest_on": "source",
        "remedy": "what helps of no-space",
        "move": "m1",
        "state": "rolled-back",
        "rc": 4,
    }


def test_without_waiting_the_move_goes_on_in_the_background(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE, move=[[0, move("started"), ""]])
    found = run(disk_move.main, executable=str(svmove.path), wait=False, **WANTED)
    assert (found["state"], found["changed"]) == ("started", True)
    assert "--detach" in svmove.words[-1]


def test_a_warning_of_svmove_is_one_of_ansible(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE, move=[[0, move(findings=[FINDING]), ""]])
    found = run(disk_move.main, executable=str(svmove.path), **WANTED)
    assert "source-kept: kept (look)" in str(found["warnings"])


def test_a_journal_s_url_is_in_no_argument_list_and_in_no_result(svmove, run):
    svmove.plays(plan=[[0, plan(), ""]], tasks=NONE, move=[[0, move(), ""]])
    url = "postgresql://me:hushhush@db/svmove"
    found = run(
        disk_move.main,
        executable=str(svmove.path),
        journal=url,
        journal_passfile="/pg",
        uri="test:///default",
        **WANTED,
    )
    assert "hushhush" not in str(found)
    for words, environment in svmove.calls:
        assert "hushhush" not in str(words)
        names = ("SVMOVE_JOURNAL", "PGPASSFILE", "SVMOVE_CONNECT")
        assert [environment[name] for name in names] == [url, "/pg", "test:///default"]


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ([2, None, "svmove: no meaning\n"], "usage", "no meaning"),
        ([1, None, "Traceback"], "internal", "Traceback"),
        ([-9, None, "copying"], "killed", "run the task again"),
        ([0, {"schema": 2}, ""], "schema", "schema 2"),
        ([3, {**move("refused", error("no-such-domain")), "disks": []}, ""], "no-such-domain", "it says"),
    ],
)
def test_what_svmove_can_t_do_at_all_has_a_code(svmove, run, answer, code, text):
    found = run(disk_move.main, executable=str(svmove.plays(plan=[answer], tasks=NONE).path), **WANTED)
    assert (found["failed"], found["code"]) == (True, code)
    assert text in found["msg"]


def test_no_svmove_is_told_as_such(run):
    found = run(disk_move.main, executable="/nowhere/svmove", **WANTED)
    assert (found["failed"], found["code"]) == (True, "no-executable")
