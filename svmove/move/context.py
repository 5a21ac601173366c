"""A move at work: its plan, its journal, and the world it acts on, as every phase gets them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from svmove import location
from svmove.budgets import Place, read
from svmove.errors import CopyError, InterruptedMoveError, NotFoundError, SilentStorageError
from svmove.events import Event
from svmove.journal import Ask, Entry, Journal, Kind, Record
from svmove.location import Protocol
from svmove.move.observe import Seen, observe
from svmove.move.phases import ENDED, NEXT, Phase
from svmove.move.share import Share
from svmove.moves import Plan, Terms
from svmove.outcomes import Progress
from svmove.policy import Policy
from svmove.ports import Cancel, Clock, Events, Guard, Hypervisor, Listener
from svmove.ports_host import Host
from svmove.requests import Verify
from svmove.units import show_duration
from svmove.volumes import DiskPlan
from svmove.windows import Moment

_log = logging.getLogger(__name__)
# A storage that answered a moment ago is not asked again: each time is a process. Longer than what comes before a
# pivot, so that none is started while the guest stands. Seconds, and how long an answer may take.
_FRESH = 2.0
_ASK = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a move touches, handed in."""

    hypervisor: Hypervisor
    host: Host
    journal: Journal
    clock: Clock
    policy: Policy
    scratch: str  # the folder in which each move gets one of its own
    cancel: Cancel
    listener: Listener = field(default=lambda _progress: None)
    guard: Guard = field(default=lambda _move: None)


class _NoEvents:
    """Of a domain that libvirt does not know any more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def next(self, timeout: float) -> None:
        self._clock.sleep(timeout)


@contextmanager
def listening(world: World, uuid: str) -> Iterator[Events]:
    """The domain's events. Raises UnreachableError."""
    with ExitStack() as stack:
        try:
            events: Events = stack.enter_context(world.hypervisor.events(uuid))
        except NotFoundError:
            events = _NoEvents(world.clock)
        yield events


class Move:
    """One move under way. Journal writes are durable when they return."""

    def __init__(self, world: World, record: Record, events: Events) -> None:
        self.world = world
        self.events = events
        self.record = record
        # How long the destination of each disk was when it was looked at last.
        self.lengths: dict[str, int] = {}
        self._answered = float("-inf")  # when its storages did last
        # Since when a guest that is off is watched (`svmove.move.watch`), and when it was looked at last.
        self.watched: float | None = None
        self.starts = 0  # of which was told since
        # Held from step to step.
        self._kept = ExitStack()
        self._locked = set[str]()
        self._share = Share(world.journal.slots, world.policy.budgets, world.clock)
        for path, luks in self.plan.keys.items():
            world.host.unlock(path, luks)

    @property
    def plan(self) -> Plan:
        return self.record.plan

    @property
    def phase(self) -> Phase:
        return Phase(self.record.phase)

    def terms(self) -> Terms:
        """As they are now: planned, changed since by `svmove set`, by windows; no faster than the move's share of its
        pools allows. Reads the journal, 0.1 ms."""
        terms, share = self.plan.terms(self._changes, self.world.clock.now()), self.share
        return terms if share is None else replace(terms, bandwidth=min(terms.bandwidth or share, share))

    @property
    def _changes(self) -> dict[str, Any]:
        return self.world.journal.requests.changes(self.plan.move)

    @property
    def places(self) -> tuple[Place, ...]:
        """What it had slots of; none of a move that an older svmove began."""
        had = self.noted("slot")
        return read(had.data["places"]) if had else ()

    @property
    def share(self) -> int | None:
        """Bytes/s of the bandwidth that its pools have for all moves together; None: as much as it takes."""
        return self._share.of(self.places)

    @property
    def opens(self) -> Moment | None:
        """When the switch will be allowed; None: it is. One that has begun, with some disks, is carried through."""
        return None if self.over else self.terms().cutover

    @property
    def limited(self) -> bool:
        """By a window, and not for ever."""
        return self.plan.rises(self._changes, self.world.clock.now())

    @property
    def scratch(self) -> str:
        """Where it was made, whatever today's policy says."""
        made = self.intended("scratch")
        return str(made.data["folder"]) if made else str(PurePosixPath(self.world.scratch) / self.plan.move)

    @property
    def socket(self) -> str:
        """Where the export of the verification listens."""
        return str(PurePosixPath(self.scratch) / "nbd.sock")

    def observe(self) -> Seen:
        """Raises SilentStorageError, HostError."""
        self._unless_silent()
        return self._seen()

    def glance(self) -> Seen:
        """As `observe`, without QEMU's own word: it proves where a file is, and of other images only what jobs there
        are."""
        return self._seen(asks_qemu=False)

    def answered(self) -> None:
        """The storages of the move have just answered."""
        self._answered = self.world.clock.monotonic()

    def _unless_silent(self) -> None:
        """QEMU (6.1 and later), asked which images it has open, reads the head of each Ceph image, in its main loop.
        While Ceph hangs the whole guest would stand, and libvirt's call not return."""
        paths = {path for disk in self.plan.disks for path in (*disk.sources, *disk.destinations)}
        ceph = sorted(path for path in paths if location.protocol(path) is Protocol.RBD)
        if not ceph or self.world.clock.monotonic() - self._answered < _FRESH:
            return
        for path in ceph:
            if not self.world.host.answers(path, _ASK):  # an error is an answer: QEMU gets it as quickly
                raise SilentStorageError(f"the storage of {path} does not answer (no answer in {_ASK:g} s)")
        self.answered()

    def _seen(self, *, asks_qemu: bool = True) -> Seen:
        made = {entry.target or "": entry.data["identity"] for entry in self.record.all(Kind.FACT, "created")}
        world, plan = self.world, self.plan
        return observe(world.hypervisor, world.host, plan.uuid, plan.disks, made, asks_qemu=asks_qemu)

    @property
    def over(self) -> tuple[DiskPlan, ...]:
        """The disks that are proven on their destinations."""
        return tuple(disk for disk in self.plan.disks if self.noted("over", disk.target))

    @property
    def pending(self) -> tuple[DiskPlan, ...]:
        """The disks that are still to be brought over."""
        return tuple(disk for disk in self.plan.disks if not self.noted("over", disk.target))

    @property
    def unverified(self) -> tuple[DiskPlan, ...]:
        """What is over and must be verified still. What a person has accepted as it is can't be any more."""
        if self.plan.verify is Verify.NONE:
            return ()
        known = ("verified", "waived")
        return tuple(disk for disk in self.over if not any(self.noted(what, disk.target) for what in known))

    def proven(self, target: str) -> bool:
        """Every byte was compared, and was equal."""
        verified = self.noted("verified", target)
        return verified is not None and not verified.data["mismatches"]

    @property
    def may_be_over(self) -> bool:
        """Whether a disk may be on its destination: a pivot was asked for, or the XML was to be written, and where that
        led is not proven."""
        told = [e for e in self.record.entries if e.what in ("pivot", "paused", "redefine", "proven")]
        last = told[-1] if told else None
        return last is not None and last.what != "proven" and bool(last.data.get("requested", True))

    def lock(self, path: str) -> None:
        """From now on until `unlock`, or until this process ends, nobody else can begin to write to that image.
        Idempotent. Raises HostError when somebody has it open for writing."""
        if path not in self._locked:
            self._kept.enter_context(self.world.host.locked(path))
            self._locked.add(path)

    def unlock(self) -> None:
        self._kept.close()
        self._locked.clear()

    @property
    def short(self) -> float | None:
        """The pause in seconds for a cutover with mirrors that are not ready, whose rest fits in it. None: they must
        be ready; also after it was tried, and did not fit."""
        told = [e for e in self.record.entries if e.what in ("short", "did-not-fit", "copy", "proven")]
        return float(told[-1].data["pause"]) if told and told[-1].what == "short" else None

    @property
    def max_pause(self) -> float:
        """Seconds, as it is now."""
        return max(self.terms().max_pause, self.short or 0.0)

    def intend(self, what: str, target: str | None = None, **data: Any) -> Entry:
        """To be called BEFORE the act: whoever resumes this move knows then that it may have happened."""
        return self._write(Kind.INTENT, what, target, data)

    def note(self, what: str, target: str | None = None, **data: Any) -> None:
        self._write(Kind.FACT, what, target, data)

    def blame(self, code: str, text: str, remedy: str | None = None) -> None:
        """What went wrong. The first of a phase is the cause; what follows comes of it."""
        self._write(Kind.ERROR, code, None, {"text": text, "remedy": remedy})

    def intended(self, what: str, target: str | None = None) -> Entry | None:
        return self.record.last(Kind.INTENT, what, target)

    def noted(self, what: str, target: str | None = None) -> Entry | None:
        return self.record.last(Kind.FACT, what, target)

    def enter(self, phase: Phase) -> None:
        if phase not in NEXT[self.phase]:
            raise AssertionError(f"{self.phase} can't lead to {phase}")
        at, ended = self.world.clock.now(), phase in ENDED
        self.world.journal.enter(self.plan.move, at, phase, left=self.phase, ended=ended, data={})
        entry = Entry(at=at, phase=phase, kind=Kind.PHASE, what=phase, target=None, data={})
        self.record = replace(self.record, phase=phase, ended=ended, entries=(*self.record.entries, entry))
        self.say()

    def say(
        self, target: str | None = None, done: int = 0, end: int = 0, text: str | None = None, **predicted: Any
    ) -> None:
        """`predicted`: `seconds` and `converges` of a `Progress`."""
        seen = Progress(
            move=self.plan.move, phase=self.phase, target=target, done=done, end=end, text=text, **predicted
        )
        with suppress(OSError):  # a terminal that was closed must not end a move
            self.world.listener(seen)

    def may_go_on(self) -> None:
        """To be called where there is a way back. Raises InterruptedMoveError when somebody asked to stop: here, or
        by `svmove cancel` elsewhere; CopyError when the time is over."""
        if self.world.cancel.is_set():
            raise InterruptedMoveError("interrupted by the user")
        if self.world.journal.requests.has(self.plan.move, Ask.CANCEL):
            raise InterruptedMoveError("cancelled by svmove cancel")
        deadline = self.terms().deadline if self.short is None else None  # it ends in a moment
        if deadline is not None and self.world.clock.now() - self.plan.created > deadline:
            raise CopyError(
                f"the cutover was not reached in {show_duration(deadline)}",
                reason="deadline-exceeded",
                remedy="allow more time, or move when the guest writes less",
            )

    def await_(self, seconds: float, done: Callable[[Event | None], bool], *, tick: float = 0.25) -> bool:
        """Asks `done(None)`, then feeds it events until it says True; None when `tick` seconds pass without.

        Returns False when `seconds` have passed.
        """
        clock = self.world.clock
        deadline = clock.monotonic() + seconds
        event: Event | None = None
        while not done(event):
            if (left := deadline - clock.monotonic()) <= 0:
                return False
            event = self.events.next(min(tick, left))
        return True

    def _write(self, kind: Kind, what: str, target: str | None, data: dict[str, Any]) -> Entry:
        at, journal = self.world.clock.now(), self.world.journal
        _log.info("%s %s %s %s %s", self.phase, kind, what, target or "", data or "")
        journal.write(self.plan.move, at, self.phase, kind, what, target, data)
        entry = Entry(at=at, phase=self.phase, kind=kind, what=what, target=target, data=data)
        self.record = replace(self.record, entries=(*self.record.entries, entry))
        return entry
