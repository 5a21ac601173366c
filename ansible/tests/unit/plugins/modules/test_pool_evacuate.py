"""A pool is empty, or takes disks again."""

from __future__ import annotations

import pytest
from ansible_collections.svmove.svmove.plugins.modules import pool_evacuate
from ansible_collections.svmove.svmove.tests.unit.documents import error, evacuation, move, stays


@pytest.fixture
def evacuate(svmove, run):
    def go(*answers, **params):
        svmove.plays(evacuate=[[*answer, ""] for answer in answers])
        return run(pool_evacuate.main, executable=str(svmove.path), pool="old", **params)

    return go


def done(state="empty", **more):
    return evacuation(state, moves=0, emptying=True, **{"moved": [move()], "failed": [], **more})


def test_a_pool_that_is_not_empty_is_emptied(evacuate, svmove):
    found = evacuate((0, evacuation()), (0, done()), to=["fast"], parallel=3)
    assert (found["changed"], found["state"], len(found["moved"])) == (True, "empty", 1)
    assert found["diff"] == {"before": {"web0/vda": "old"}, "after": {"web0/vda": "fast"}}
    assert svmove.words == [
        ["evacuate", "--json", "--dry-run", "--to=fast", "--parallel=3", "--", "old"],
        ["evacuate", "--json", "--to=fast", "--parallel=3", "--", "old"],
    ]


def test_an_empty_pool_that_is_marked_is_left_alone(evacuate, svmove):
    found = evacuate((0, evacuation(moves=0, emptying=True)))
    assert (found["changed"], len(svmove.words)) == (False, 1)


def test_an_empty_pool_that_is_not_marked_is_marked(evacuate, svmove):
    found = evacuate((0, evacuation(moves=0)), (0, done(moved=[])))
    assert (found["changed"], len(svmove.words)) == (True, 2)


def test_check_mode_says_what_would_be_moved(evacuate, svmove):
    found = evacuate((0, evacuation(moves=2)), check=True)
    assert (found["changed"], len(found["moves"]), len(svmove.words)) == (True, 2, 1)
    assert found["diff"]["after"] == {"web0/vda": "fast", "web1/vda": "fast"}


@pytest.mark.parametrize("check", [True, False])
def test_what_stays_is_an_error_unless_it_is_allowed(evacuate, check):
    answers = (0, evacuation(unmovable=[stays("no-guest")])), (3, done("left", unmovable=[stays("no-guest")]))
    found = evacuate(*answers, check=check)
    assert (found["failed"], found["code"], found["remedy"], found["changed"]) == (True, "unmovable", "move it", True)
    found = evacuate(*answers, check=check, allow_unmovable=True)
    assert ("failed" in found, found["changed"], found["unmovable"][0]["code"]) == (False, True, "no-guest")


def test_moves_of_an_earlier_run_are_gone_on_with(evacuate):
    planned = evacuation(moves=0, emptying=True, unmovable=[stays("move-running")])
    assert evacuate((0, planned), check=True)["changed"]
    assert evacuate((0, planned), (0, done()))["state"] == "empty"


def test_a_move_that_failed_gives_its_code(evacuate):
    failed = move("rolled-back", error("never-ready"))
    found = evacuate((0, evacuation()), (4, done("left", failed=[failed])))
    assert (found["failed"], found["code"], found["failed_moves"][0]["domain"]) == (True, "never-ready", "web")
    assert "web: rolled-back" in found["msg"]


def test_an_interruption_is_an_error(evacuate):
    assert evacuate((0, evacuation()), (130, done("interrupted")))["code"] == "interrupted"


def test_no_such_pool_is_told_with_its_code(evacuate):
    assert evacuate((3, move("refused", error("no-such-pool"), ident=None)))["code"] == "no-such-pool"


@pytest.mark.parametrize(("emptying", "check", "calls"), [(True, False, 2), (True, True, 1), (False, False, 1)])
def test_a_pool_is_opened_once(evacuate, svmove, emptying, check, calls):
    ended = {"schema": 1, "pool": "old", "state": "ended"}
    found = evacuate((0, evacuation(emptying=emptying)), (0, ended), state="open", check=check)
    assert (found["changed"], found["state"], len(svmove.words)) == (emptying, "open", calls)
