"""A pool is emptied, guest after guest; whatever ends the process that does it, the next one goes on."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.campaign import Campaign
from svmove.errors import HostError, NotFoundError, RefusedError
from svmove.fleet import Fleet, FleetDisk, Stay
from svmove.journal import Journal
from svmove.outcomes import Outcome, State
from svmove.placer import Placer
from svmove.plan.placement import evacuate
from svmove.policy import Policy
from svmove.proposals import Carried, Evacuation
from svmove.requests import Request
from tests.builders import outcome, plan
from tests.fake import CrashError, FakeClock, FakeHost, FakeHypervisor, World
from tests.fleets import PLAIN, disk, fleet, pool
from tests.move.stage import Stage

URI = "fake:///"


class Toy:
    """A fleet, and workers that move its disks; each move takes some looks."""

    def __init__(self, folder: Path, *disks: FleetDisk) -> None:
        self.journal = Journal(str(folder / "journal.sqlite"))
        self.fleet = fleet([pool("old", 10), pool("a", 50), pool("b", 50)], disks)
        self.policy = Policy(space=PLAIN)
        self.ends: dict[str, State] = {}  # of a guest's move; else it is done
        self.under_way: dict[str, int] = {}
        self.most = 0
        self.begun: list[str] = []
        self.started: list[str] = []
        self.requests: dict[str, Request] = {}
        self.looks = 3
        self.before: Callable[[str, str], None] = lambda _call, _what: None
        self.cancel = threading.Event()
        self.told: list[str] = []

    def plan(self) -> Fleet:
        marked = self.journal.campaigns.marked(URI)
        pools = tuple(dataclasses.replace(one, emptying=one.name in marked) for one in self.fleet.pools)
        return dataclasses.replace(self.fleet, pools=pools)

    # Workers

    def begin(self, request: Request) -> Outcome:
        self.before("begin", request.domain)
        self.begun.append(request.domain)
        if self.ends.get(request.domain) in (State.REFUSED, State.ALREADY_THERE):
            return outcome(move=None, domain=request.domain, state=self.ends[request.domain])
        move = f"m-{request.domain}-{len(self.begun)}"
        self.requests[move] = request
        uuid = f"uuid-{request.domain}"
        self.journal.begin(plan(move=move, domain=request.domain, uuid=uuid, created=0.0), URI, "planned")
        self.before("begun", request.domain)
        return outcome(move=move, domain=request.domain, state=State.HELD)

    def start(self, move: str) -> None:
        self.before("start", move)
        self.started.append(move)
        self.under_way.setdefault(move, 0)
        self.most = max(self.most, len(self.under_way))

    def ended(self, move: str) -> Outcome | None:
        self.before("ended", move)
        self.under_way[move] += 1
        if self.under_way[move] < self.looks:
            return None
        del self.under_way[move]
        request = self.requests[move]
        state = self.ends.get(request.domain, State.DONE)
        if state is State.DONE:
            to = {one.target: one.pool for one in request.disks}
            self.fleet = dataclasses.replace(
                self.fleet,
                disks=tuple(
                    dataclasses.replace(one, pool=to[one.target] or "")
                    if one.guest == request.domain and one.target in to
                    else one
                    for one in self.fleet.disks
                ),
            )
        if state is not State.HELD:
            self.journal.enter(move, 1.0, "done", left="planned", ended=True, data={})
        return outcome(move=move, domain=request.domain, state=state)

    def run(self, at_once: int = 2) -> Carried[Evacuation]:
        """In a new process."""
        campaign = Campaign(
            uri=URI,
            pool="old",
            plan=lambda: evacuate(self.plan(), self.policy, "old", at_once=at_once),
            workers=self,
            journal=self.journal,
            clock=FakeClock(World()),
            told=self.told.append,
            at_once=at_once,
        )
        return campaign.run(self.cancel)

    def where(self) -> set[str]:
        return {one.pool for one in self.fleet.disks if one.stays is None}


def test_all_that_can_move_is_moved_so_many_guests_at_a_time(tmp_path: Path) -> None:
    toy = Toy(tmp_path, *(disk(f"g{n}/vd{d}", 5) for n in range(5) for d in "ab"))
    found = toy.run()
    assert (len(found.moved), found.failed, found.interrupted, toy.most) == (5, (), False, 2)
    assert toy.where() == {"a", "b"}
    assert sorted(toy.begun) == [f"g{n}" for n in range(5)]
    assert all(len(request.disks) == 2 for request in toy.requests.values())
    assert found.plan.moves == ()


def test_the_pool_takes_nothing_new_until_that_is_ended(tmp_path: Path) -> None:
    toy = Toy(tmp_path, disk("web", 5))
    marked = list[frozenset[str]]()
    toy.before = lambda _call, _what: marked.append(toy.journal.campaigns.marked(URI))
    toy.run()
    assert set(marked) == {frozenset({"old"})}
    with pytest.raises(RefusedError, match="emptied"):
        evacuate(toy.plan(), toy.policy, "a", ["old"])
    assert "old" not in evacuate(toy.plan(), toy.policy, "a").to
    assert toy.journal.campaigns.end(URI, "old")
    assert not toy.journal.campaigns.end(URI, "old")
    assert "old" in evacuate(toy.plan(), toy.policy, "a").to


def test_what_can_t_move_is_in_the_end_what_is_left(tmp_path: Path) -> None:
    toy = Toy(tmp_path, disk("web", 5), disk("lun", 5, stays=Stay(code="lun", text="a LUN")))
    assert [one.guest for one in toy.run().plan.stays] == ["lun"]


@pytest.mark.parametrize("state", [State.REFUSED, State.ROLLED_BACK, State.HELD])
def test_what_fails_is_told_not_tried_again_and_the_others_go_on(tmp_path: Path, state: State) -> None:
    toy = Toy(tmp_path, disk("bad", 9), disk("web", 5), disk("db", 4))
    toy.ends["bad"] = state
    found = toy.run(at_once=1)
    assert ([one.domain for one in found.failed], len(found.moved)) == (["bad"], 2)
    assert toy.begun.count("bad") == 1


def test_a_move_that_can_t_be_begun_or_carried_out_is_told(tmp_path: Path) -> None:
    def refuse(call: str, what: str) -> None:
        if call == "begin" and what == "gone":
            raise NotFoundError("domain", "gone")
        if call == "start" and "stuck" in what:
            raise HostError("no process")

    toy = Toy(tmp_path, disk("gone", 9), disk("stuck", 8), disk("web", 5))
    toy.before = refuse
    found = toy.run()
    assert {one.domain: (one.state, one.error and one.error.code) for one in found.failed} == {
        "gone": (State.REFUSED, "no-such-domain"),
        "stuck": (State.HELD, "host-error"),
    }
    assert len(found.moved) == 1


def test_what_is_there_already_is_no_failure_and_no_endless_loop(tmp_path: Path) -> None:
    toy = Toy(tmp_path, disk("web", 5))
    toy.ends["web"] = State.ALREADY_THERE
    found = toy.run()
    assert (found.moved, found.failed, toy.begun) == ((), (), ["web"])


def test_a_pool_that_is_unknown_is_not_marked(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.fleet = fleet([pool("a")], [])
    with pytest.raises(NotFoundError):
        toy.run()
    assert toy.journal.campaigns.marked(URI) == frozenset()


def test_after_an_interruption_nothing_is_begun_and_the_next_run_goes_on(tmp_path: Path) -> None:
    toy = Toy(tmp_path, *(disk(f"g{n}", 5) for n in range(5)))

    def interrupt(call: str, _what: str) -> None:
        if call == "ended" and len(toy.begun) == 2:
            toy.cancel.set()

    toy.before = interrupt
    found = toy.run()
    assert (found.interrupted, len(toy.begun), len(toy.under_way)) == (True, 2, 2)
    toy.before, toy.cancel = lambda _call, _what: None, threading.Event()
    found = toy.run()
    assert (found.interrupted, len(found.moved), toy.where()) == (False, 5, {"a", "b"})
    assert sorted(toy.begun) == [f"g{n}" for n in range(5)], "nobody is begun twice"


@pytest.mark.parametrize("call", ["begin", "begun", "start", "ended"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_whenever_it_dies_the_next_one_goes_on_and_begins_nobody_twice(tmp_path: Path, call: str, number: int) -> None:
    toy = Toy(tmp_path, *(disk(f"g{n}", 5) for n in range(4)))
    count = 0

    def die(came: str, _what: str) -> None:
        nonlocal count
        count += came == call
        if came == call and count == number:
            raise CrashError(call)

    toy.before = die
    with pytest.raises(CrashError):
        toy.run()
    toy.before = lambda _call, _what: None
    found = toy.run()
    assert (found.failed, toy.where()) == ((), {"a", "b"})
    assert sorted(toy.begun) == [f"g{n}" for n in range(4)]
    assert toy.most <= 2
    campaign = toy.journal.campaigns.open(URI, "old", 0.0)
    assert {row.state for row in toy.journal.campaigns.begun(campaign)} <= {"done", "not-begun"}


class _Here:
    """Moves in this process, by the real Mover on the fake world."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def begin(self, request: Request) -> Outcome:
        return self._stage.mover().begin(request)

    def start(self, move: str) -> None:
        self._stage.resume(move)

    def ended(self, move: str) -> Outcome | None:
        return self._stage.mover().recorded(move)


def test_a_guest_with_two_disks_leaves_its_pool_by_one_real_move(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    world = stage.world
    placer = Placer(FakeHypervisor(world), FakeHost(world), stage.journal, stage.policy, FakeClock(world))
    campaign = Campaign(
        uri=URI,
        pool="slow",
        plan=lambda: placer.evacuation("slow"),
        workers=_Here(stage),
        journal=stage.journal,
        clock=FakeClock(world),
        told=lambda _text: None,
    )
    found = campaign.run(threading.Event())
    (moved,) = found.moved
    assert [one.target for one in moved.disks] == ["vda", "vdb"]
    assert stage.sources() == {"vda": False, "vdb": False}
    assert (found.plan.moves, found.plan.stays) == ((), ())
    stage.check(moved.move or "")
