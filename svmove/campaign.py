"""What is proposed is carried out: guest after guest, some at a time, each by a move of its own.

Invariants: a pool that is emptied is marked before anything is begun, so that nothing new is placed there; a guest is
journalled before its move is begun; a round begins when all of the one before have ended; what failed is not tried
again by the same process. Whoever calls `run` again goes on: what is under way is waited for, and carried on if nobody
works on it; the rest is planned anew, from what is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from svmove.errors import SvmoveError
from svmove.journal import Journal
from svmove.outcomes import Failure, GuestOn, Outcome, Seconds, State
from svmove.ports import Cancel, Clock
from svmove.proposals import Carried, Proposal, reason
from svmove.requests import DiskRequest, Request

# Moves take minutes; a look at one is a look at its lock.
_EVERY = 0.5


class Workers(Protocol):
    """Carry moves out, each apart from all others."""

    def begin(self, request: Request) -> Outcome:
        """Plans and records a move. Its outcome has an id, unless it is refused or there is nothing to do. Raises
        SvmoveError, before anything is touched."""
        ...

    def start(self, move: str) -> None:
        """Begins to carry it out, or goes on with it; one that somebody works on is left to him. Raises SvmoveError."""
        ...

    def ended(self, move: str) -> Outcome | None:
        """None: it is under way."""
        ...


class Planned(Protocol):
    @property
    def moves(self) -> tuple[Proposal, ...]:
        """In their order, those of one round together."""
        ...


Told = Callable[[str], None]
P = TypeVar("P", bound=Planned)
# What a campaign that balances has for a pool: it keeps nobody out of any.
NO_POOL = ""


@dataclass(slots=True, kw_only=True)
class Campaign(Generic[P]):
    """`pool`: the one that is emptied, or NO_POOL. `plan`: what is to be done, from what is now."""

    uri: str
    pool: str
    plan: Callable[[], P]
    workers: Workers
    journal: Journal
    clock: Clock
    told: Told
    at_once: int = 1
    _under_way: dict[str, tuple[int, str]] = field(default_factory=dict)  # by the domain's UUID: row and move
    _moved: list[Outcome] = field(default_factory=list)
    _failed: list[Outcome] = field(default_factory=list)
    _tried: set[str] = field(default_factory=set)  # UUIDs; without success

    def run(self, cancel: Cancel) -> Carried[P]:
        """Returns when all that can move has, or has failed. `cancel`: begins nothing more, and leaves what is under
        way to its own processes.

        Raises what `plan` raises; JournalError.
        """
        planned = self.plan()  # or there is no such pool, which is not marked then
        campaign = self.journal.campaigns.open(self.uri, self.pool, self.clock.now())
        self._go_on(campaign)
        while (guests := self._next(planned)) or self._under_way:
            self._round(campaign, guests, cancel)
            if cancel.is_set():
                break
            planned = self.plan()
        return Carried(
            plan=planned,
            moved=tuple(self._moved),
            failed=tuple(self._failed),
            interrupted=cancel.is_set(),
        )

    def _go_on(self, campaign: int) -> None:
        """With what another process of this campaign has begun."""
        for row in self.journal.campaigns.begun(campaign):
            if row.state is not None:
                continue
            move = row.move or self.journal.open_move(row.uuid)
            if move is None:  # it was not begun, after all
                self.journal.campaigns.note(row.id, move=None, state="not-begun")
                continue
            self.journal.campaigns.note(row.id, move=move, state=None)
            self._under_way[row.uuid] = (row.id, move)
            self.told(f"{row.domain}: goes on with move {move}")
            self._start(row.uuid, row.domain, row.id, move)

    def _next(self, planned: P) -> list[list[Proposal]]:
        """The guests of the first round that has any left to try."""
        left = [one for one in planned.moves if one.uuid not in self._tried and one.uuid not in self._under_way]
        found: dict[str, list[Proposal]] = {}
        for proposal in left:
            if proposal.round == left[0].round:
                found.setdefault(proposal.uuid, []).append(proposal)
        return list(found.values())

    def _round(self, campaign: int, waiting: list[list[Proposal]], cancel: Cancel) -> None:
        while (waiting or self._under_way) and not cancel.is_set():
            while waiting and len(self._under_way) < self.at_once:
                self._begin(campaign, waiting.pop(0))
            if self._under_way:
                self._wait()

    def _begin(self, campaign: int, proposals: list[Proposal]) -> None:
        guest, uuid = proposals[0].guest, proposals[0].uuid
        disks = {one.target: one.pool_to for one in proposals}
        row = self.journal.campaigns.intend(campaign, uuid, guest, disks, self.clock.now())
        asked = tuple(DiskRequest(target=target, pool=pool) for target, pool in disks.items())
        try:
            outcome = self.workers.begin(Request(domain=guest, to=None, disks=asked, delete_source=True))
        except SvmoveError as error:
            self._fail(uuid, guest, row, None, error)
            return
        if outcome.move is None or outcome.state in (State.REFUSED, State.ALREADY_THERE):
            self._end(uuid, row, outcome)
            return
        self.journal.campaigns.note(row, move=outcome.move, state=None)
        self._under_way[uuid] = (row, outcome.move)
        self.told(f"{guest}: {', '.join(f'{t} → {p}' for t, p in disks.items())}, move {outcome.move}")
        self._start(uuid, guest, row, outcome.move)

    def _start(self, uuid: str, guest: str, row: int, move: str) -> None:
        try:
            self.workers.start(move)
        except SvmoveError as error:
            self._fail(uuid, guest, row, move, error)

    def _wait(self) -> None:
        for uuid, (row, move) in list(self._under_way.items()):
            if (outcome := self.workers.ended(move)) is not None:
                self._end(uuid, row, outcome)
                return
        self.clock.sleep(_EVERY)

    def _fail(self, uuid: str, guest: str, row: int, move: str | None, error: SvmoveError) -> None:
        """Of one that could not be begun, or not be carried on."""
        failure = Failure(code=error.code, text=error.text, guest_on=GuestOn.UNKNOWN, remedy=error.remedy)
        state = State.REFUSED if move is None else State.HELD
        outcome = Outcome(
            move=move,
            domain=guest,
            state=state,
            method=Request(domain=guest, to=None).method,
            disks=(),
            seconds=Seconds(),
            findings=(),
            error=failure,
        )
        self._end(uuid, row, outcome)

    def _end(self, uuid: str, row: int, outcome: Outcome) -> None:
        self._under_way.pop(uuid, None)
        self.journal.campaigns.note(row, move=outcome.move, state=outcome.state)
        if outcome.state is State.DONE:
            self._moved.append(outcome)
        else:
            self._tried.add(uuid)
            if outcome.state is not State.ALREADY_THERE:
                self._failed.append(outcome)
        self.told(f"{outcome.domain}: {outcome.state}" + (f", {why}" if (why := reason(outcome)) else ""))
