"""What is told: moves, disks, pools."""

from __future__ import annotations

from ansible_collections.svmove.svmove.plugins.modules import disk_move_info, pool_info
from ansible_collections.svmove.svmove.tests.unit.documents import error, move, tasks

POOL = {"name": "fast", "type": "dir", "active": True, "capacity": 200, "allocation": 50, "available": 150}


def test_pools_are_told_with_how_full_they_are(svmove, run):
    off = {**POOL, "name": "off", "active": False, "capacity": 0}
    svmove.plays(pools=[[0, {"schema": 1, "pools": [POOL, off]}, ""]])
    found = run(pool_info.main, executable=str(svmove.path))
    assert [(pool["name"], pool["fill"]) for pool in found["pools"]] == [("fast", 0.25), ("off", None)]
    assert [pool["name"] for pool in run(pool_info.main, executable=str(svmove.path), names=["off"])["pools"]] == [
        "off"
    ]


def test_a_libvirt_that_does_not_answer_has_its_code(svmove, run):
    svmove.plays(pools=[[6, move("refused", error("libvirt-unreachable")), ""]])
    assert run(pool_info.main, executable=str(svmove.path))["code"] == "libvirt-unreachable"


def test_moves_are_told_of_a_guest_with_its_disks(svmove, run):
    both = {"schema": 1, "tasks": tasks("running")["tasks"] + tasks("left", domain="db")["tasks"]}
    disks = {"schema": 1, "domain": "web", "disks": [{"target": "vda", "pool": "fast"}]}
    svmove.plays(tasks=[[0, both, ""]], disks=[[0, disks, ""]])
    found = run(disk_move_info.main, executable=str(svmove.path))
    assert ([task["domain"] for task in found["moves"]], "disks" in found) == (["web", "db"], False)
    found = run(disk_move_info.main, executable=str(svmove.path), domain="web")
    assert ([task["domain"] for task in found["moves"]], found["disks"][0]["pool"]) == (["web"], "fast")


def test_a_move_is_told_with_how_it_ended(svmove, run):
    shown = {**move(ident="m0"), "history": [{"data": "x"}]}
    svmove.plays(tasks=[[0, tasks("ended", "left"), ""]], show=[[0, shown, ""]])
    found = run(disk_move_info.main, executable=str(svmove.path), move="m0")
    (task,) = found["moves"]
    assert (task["state"], task["outcome"]["state"], "history" in task["outcome"]) == ("ended", "done", False)
    assert svmove.words[0] == ["tasks", "--json", "--all"]


def test_no_such_move_is_an_error(svmove, run):
    svmove.plays(tasks=[[0, tasks(), ""]], show=[[3, move("refused", error("no-such-move"), ident=None), ""]])
    assert run(disk_move_info.main, executable=str(svmove.path), move="m9")["code"] == "no-such-move"
