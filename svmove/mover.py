"""The library's front door.

mover = Mover.connect("qemu:///system", Policy(), journal_url)
plan = mover.plan(Request(domain="web", to="fast"))
outcome = mover.move(Request(domain="web", to="fast"))
"""

import secrets
import shlex
import threading
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from svmove.clock import SystemClock
from svmove.errors import RefusedError, SvmoveError
from svmove.host.local import LocalHost
from svmove.journal import Journal, Record, working_on
from svmove.move import outcome, runner
from svmove.move.context import World
from svmove.move.inventory import gather
from svmove.moves import Outcome, Plan, Progress, Request
from svmove.plan.planner import make_plan
from svmove.policy import Policy
from svmove.ports import Cancel, Clock, Host, Hypervisor, Listener
from svmove.redact import redact
from svmove.virt.hypervisor import LibvirtHypervisor


def _nobody(_progress: Progress) -> None:
    """Listens to nothing."""


class Mover:
    """Plans and moves on one hypervisor. Not for use by several threads at once."""

    def __init__(
        self, hypervisor: Hypervisor, host: Host, journal: Journal, policy: Policy, clock: Clock | None = None
    ) -> None:
        self._hypervisor = hypervisor
        self._host = host
        self._journal = journal
        self._policy = policy
        self._clock = clock or SystemClock()
        self._scratch = policy.paths.scratch or str(journal.folder / "scratch")

    @classmethod
    def connect(cls, uri: str, policy: Policy, journal_url: str) -> Self:
        """Raises UnreachableError, JournalError, and RefusedError for a daemon on another host."""
        if (server := urlsplit(uri).hostname) not in (None, "localhost"):
            raise RefusedError(
                f"{redact(uri)}: libvirt on another host; this version moves on the host it runs on",
                remedy=f"run svmove on {server}",
            )
        journal = Journal(journal_url)
        return cls(LibvirtHypervisor(uri, policy.retry), LocalHost(), journal, policy)

    def plan(self, request: Request) -> Plan:
        """What a move would do. Changes nothing.

        Raises NotFoundError (no such domain), UsageError, UnreachableError, HypervisorError, HostError.
        """
        inventory = gather(request, self._hypervisor, self._host, self._journal, self._scratch)
        now = self._clock.now()
        return make_plan(request, inventory, self._policy, move=_new_id(now), now=now)

    def move(self, request: Request, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Plans, and carries the plan out unless it is refused or there is nothing to do.

        Raises what `plan` raises, all before anything is touched. What fails later is in the outcome.
        """
        plan = self.plan(request)
        if plan.refused or not plan.disks:
            return outcome.of_plan(plan)
        with working_on(self._journal.folder, plan.move):
            record = runner.begin(self._journal, plan, redact(self._hypervisor.uri))
            return self._run(record, self._world(listener, cancel))

    def resume(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Walks a move on from where it is, whoever began it.

        Raises NotFoundError for an unknown id, RefusedError for a move on another daemon, or one that another
        process works on.
        """
        self._ours(move)
        with working_on(self._journal.folder, move):
            # Read again: another process may have worked on it until now.
            return self._run(self._ours(move), self._world(listener, cancel))

    def accept(self, move: str, *, listener: Listener = _nobody, cancel: Cancel | None = None) -> Outcome:
        """Takes a held move on to where the guest is, and deletes the other copy: a person's decision.

        Raises NotFoundError, and RefusedError when it is not held or it can't be told where the guest is.
        """
        world = self._world(listener, cancel)
        self._ours(move)
        with working_on(self._journal.folder, move):
            return self._run(runner.accept(world, self._ours(move)), world)

    def recorded(self, move: str) -> Outcome:
        """What is recorded of a move. Raises NotFoundError."""
        return outcome.of_record(self._journal.read(move))

    def _run(self, record: Record, world: World) -> Outcome:
        walk = runner.Walk(world, record)
        try:
            walk.run()
        except SvmoveError as error:  # also a domain that is gone, or whose events can't be had
            return outcome.of_record(walk.record, stopped_by=error)
        return outcome.of_record(walk.record)

    def _ours(self, move: str) -> Record:
        record = self._journal.read(move)
        if record.uri != redact(self._hypervisor.uri):
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
            listener=listener,
        )

    def open_moves(self) -> tuple[str, ...]:
        """The ids of the moves that have not ended, oldest first."""
        return self._journal.open_moves(redact(self._hypervisor.uri))


def _new_id(now: float) -> str:
    """Sorts by time, can be read out on a telephone, and is unique between hosts."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
