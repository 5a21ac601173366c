"""The library's front door.

mover = Mover.connect("qemu:///system", Policy(), journal_url)
plan = mover.plan(Request(domain="web", to="fast"))
outcome = mover.move(Request(domain="web", to="fast"))
"""

import secrets
import shlex
import threading
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Self

from svmove.clock import SystemClock
from svmove.decisions import Decision, Way
from svmove.errors import NotFoundError, RefusedError, SvmoveError
from svmove.journal import Ask, Journal, Record
from svmove.move import decision, hanging, leftovers, lost, outcome, relief, runner, tasks
from svmove.move.back import plan_back
from svmove.move.context import Move, World, listening
from svmove.move.inventory import gather
from svmove.move.leftovers import Leftover
from svmove.move.phases import RESTING, Phase
from svmove.move.publish import Publisher
from svmove.move.tasks import Task
from svmove.moves import Plan, Terms
from svmove.outcomes import Outcome, Progress
from svmove.plan.cleanup import settled
from svmove.plan.planner import make_plan
from svmove.policy import Policy
from svmove.ports import Cancel, Clock, Guard, Hypervisor, Listener
from svmove.ports_host import Host
from svmove.reach import reach
from svmove.redact import redact
from svmove.requests import Request
from svmove.units import show_duration
from svmove.windows import Moment


def _nobody(_progress: Progress) -> None:
    """Listens to nothing."""


class Mover:
    """Plans and moves on one hypervisor. Not for use by several threads at once."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        host: Host,
        journal: Journal,
        policy: Policy,
        clock: Clock | None = None,
        *,
        scratch: str | None = None,
    ) -> None:
        """`scratch`: a folder of `host`, for scratch files."""
        self._hypervisor = hypervisor
        self._host = host
        self._journal = journal
        self._policy = policy
        self._clock = clock or SystemClock()
        self._scratch = scratch or policy.paths.scratch or str(journal.folder / "scratch")
        self.guard: Guard = lambda _move: None

    @classmethod
    def connect(cls, uri: str, policy: Policy, journal_url: str) -> Self:
        """`uri` may be of another host: ``qemu+ssh://user@host/system``. Raises UnreachableError, JournalError,
        UsageError."""
        journal = Journal(journal_url)
        found = reach(uri, policy)
        return cls(found.hypervisor, found.host, journal, policy, scratch=found.scratch)

    def plan(self, request: Request, *, after: str | None = None) -> Plan:
        """What a move would do. Changes nothing. `after`: a held move that it would carry on from.

        Raises NotFoundError (no such domain), UsageError, UnreachableError, HypervisorError, HostError.
        """
        request = settled(request, self._policy.cleanup)
        inventory = gather(
            request,
            self._hypervisor,
            self._host,
            self._journal,
            self._scratch,
            clock=self._clock,
            policy=self._policy,
            after=after,
        )
        now = self._clock.now()
        return make_plan(request, inventory, self._policy, move=_new_id(now), now=now)

    def move(self, request: Request, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Plans, and carries the plan out unless it is refused or there is nothing to do.

        Raises what `plan` raises, all before anything is touched. What fails later is in the outcome.
        """
        plan = self.plan(request)
        if plan.refused or not (plan.disks or plan.media):
            return outcome.of_plan(plan)
        with self._working_on(plan.move):
            record = runner.begin(self._journal, plan, self.uri)
            return self._run(record, self._world(listener, cancel))

    def begin(self, request: Request) -> Outcome:
        """Plans and records a move that another process is to carry out (`resume`). The outcome has its id when
        there is something to do. Raises what `plan` raises."""
        plan = self.plan(request)
        if plan.refused or not (plan.disks or plan.media):
            return outcome.of_plan(plan)
        return outcome.of_record(runner.begin(self._journal, plan, self.uri))

    def resume(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Walks a move on from where it is, whoever began it. One that only a domain's marker knows, because its
        journal is lost, is recorded as held.

        Raises NotFoundError for an unknown id, RefusedError for a move on another daemon, or one that another
        process works on.
        """
        try:
            self._ours(move)
        except NotFoundError:
            if not (marked := lost.find(self._hypervisor, move)):
                raise
            now = self._clock.now()
            args = (self._journal, self._hypervisor, self._host, self._policy, marked[0])
            return outcome.of_record(lost.adopt(*args, uri=self.uri, now=now))
        with self._working_on(move):
            # Read again: another process may have worked on it until now.
            return self._run(self._ours(move), self._world(listener, cancel))

    def cancel(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Takes a move back to its source, if it is not too late: in the process that works on it, or else here.
        Returns when that has ended.

        Raises NotFoundError, and RefusedError for one that has ended, or is held.
        """
        record = self._ours(move)
        if record.ended or record.phase == Phase.HELD:
            raise RefusedError(
                f"move {move} can't be cancelled, it is {record.phase}",
                remedy=f"svmove rollback {move}" if record.phase == Phase.HELD else None,
            )
        self._journal.requests.add(move, self._clock.now(), Ask.CANCEL)
        self._journal.await_release(move)
        record = self._ours(move)
        if record.phase in RESTING:
            return outcome.of_record(record)
        return self.resume(move, listener=listener, cancel=cancel)

    def change(self, move: str, **terms: float | Moment | None) -> tuple[Terms, int | None]:
        """Changes the terms (`Terms`) of a move under way; whoever works on it takes them up within a second, or
        else whoever resumes it. What they are now, and the pid of who works on it. `cutover`: from then on it is
        allowed, whatever the windows say.

        Raises NotFoundError, and RefusedError for a move that has ended, or a pause that is too short.
        """
        record = self._ours(move)
        if record.ended:
            raise RefusedError(f"move {move} has ended, it is {record.phase}")
        pause, reserve = terms.get("max_pause"), self._policy.move.pivot_reserve
        if isinstance(pause, float) and pause <= reserve:
            raise RefusedError(f"a pivot alone needs up to {show_duration(reserve)} of the pause")
        now, data = self._clock.now(), {k: asdict(v) if isinstance(v, Moment) else v for k, v in terms.items()}
        self._journal.requests.add(move, now, Ask.CHANGE, **data)
        worker = self._journal.owner(move)
        return record.plan.terms(self._journal.requests.changes(move), now), worker.pid if worker else None

    def decide(self, move: str, way: Way) -> Decision:
        """What a way out of HELD would keep and lose. Changes nothing.

        Raises NotFoundError, and RefusedError when the move is not held or that way is not open.
        """
        world, record = self._world(_nobody, None), self._ours(move)
        with listening(world, record.plan.uuid) as events:
            return decision.decide(Move(world, record, events), way)

    def accept(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Takes a held move forward: a person's decision. Raises what `decide` raises."""
        return self._leave_held(move, Way.FORWARD, listener, cancel)

    def rollback(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Takes a held move back: a person's decision. What the guest runs on at its destination is moved back by
        a move of its own, whose outcome this is then. Raises what `decide` raises."""
        return self._leave_held(move, Way.BACK, listener, cancel)

    def _leave_held(self, move: str, way: Way, listener: Listener, cancel: Cancel | None) -> Outcome:
        world = self._world(listener, cancel)
        self._ours(move)
        with self._working_on(move):
            record = self._ours(move)
            with listening(world, record.plan.uuid) as events:
                held = Move(world, record, events)
                decision.decide(held, way)
                hanging.end_left(held)
                if way is Way.BACK:
                    decision.one_file(held)
                back = plan_back(held, _new_id(self._clock.now())) if way is Way.BACK else None
                decision.carry_out(held, way)
            if back is None:
                return self._run(held.record, world)
            with self._working_on(back.move):
                now, left = self._clock.now(), held.phase
                handed = Phase.HANDED_OVER
                begun = self._journal.hand_over(
                    move, now, left=left, ended_as=handed, plan=back, uri=self.uri, phase=Phase.PLANNED
                )
                return self._run(begun, world)

    def recorded(self, move: str) -> Outcome:
        """What is recorded of a move. Raises NotFoundError."""
        return outcome.of_record(self._journal.read(move))

    def relieve(self, move: str) -> bool:
        """One look at a guest whose svmove died in the cutover or the verification: whether no more are needed.

        Raises RefusedError when a process works on the move, NotFoundError, UnreachableError and others.
        """
        with self._working_on(move):
            world, record = self._world(_nobody, None), self._ours(move)
            with listening(world, record.plan.uuid) as events:
                return relief.relieve(Move(world, record, events))

    def tasks(self, *, ended: bool = False) -> tuple[Task, ...]:
        """Every move that is under way, left or held; with `ended` all that the journal knows. Oldest first."""
        now, budgets = self._clock.now(), self._policy.budgets
        return tasks.tasks(self._journal, self._hypervisor, self.uri, now, budgets, ended=ended)

    def leftovers(self) -> tuple[Leftover, ...]:
        """What ended moves left behind, and whether it may go."""
        return leftovers.find(self._journal, self._hypervisor, self._host, self._scratch, self.uri, self._clock.now())

    def remove(self, leftover: Leftover) -> None:
        """Looks once more. Raises RefusedError if it isn't as it was; HypervisorError, HostError, UnreachableError."""
        if leftover.kept is None and leftover not in self.leftovers():
            raise RefusedError("it is not as it was when it was looked at", remedy="svmove gc lists it again")
        leftovers.remove(leftover, self._hypervisor, self._host)

    @property
    def uri(self) -> str:
        """Of the libvirt daemon, as the journal knows it, without secrets."""
        return self._journal.database.address(redact(self._hypervisor.uri))

    @property
    def journal(self) -> Journal:
        return self._journal

    def _run(self, record: Record, world: World) -> Outcome:
        walk = runner.Walk(world, record)
        try:
            walk.run()
        except SvmoveError as error:  # also a journal that can't be written any more
            return outcome.of_record(walk.record, stopped_by=error)
        return outcome.of_record(walk.record)

    def _working_on(self, move: str) -> AbstractContextManager[None]:
        return self._journal.working_on(move)

    def _ours(self, move: str) -> Record:
        record = self._journal.read(move)
        if record.uri != self.uri:
            remedy = f"svmove --connect {shlex.quote(record.uri)} resume {move}"
            raise RefusedError(f"move {move} is on {record.uri}", remedy=remedy)
        return record

    def _world(self, listener: Listener, cancel: Cancel | None) -> World:
        return World(
            hypervisor=self._hypervisor,
            host=self._host,
            journal=self._journal,
            clock=self._clock,
            policy=self._policy,
            scratch=self._scratch,
            cancel=cancel or threading.Event(),
            listener=Publisher(listener, self._journal, self._clock),
            guard=self.guard,
        )

    def open_moves(self) -> tuple[str, ...]:
        """The ids of the moves that have not ended, oldest first."""
        return self._journal.open_moves(self.uri)


def _new_id(now: float) -> str:
    """Sorts by time, can be read out on a telephone, and is unique between hosts."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
