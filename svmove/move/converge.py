"""Is the copy getting nearer to its end? And what is done when it isn't, in the policy's order.

    suspend       what is left fits in the guest's pause: the cutover drains it while the guest stands
    throttle      the guest's writes to that disk are halved, and halved again, down to a floor
    synchronous   the mirror is begun again, from nothing; the guest's writes then wait for both copies
    give up       the move is rolled back, with the figures

Nothing is done about a mirror that converges by itself, nor before its first pass is over, nor about one that stands
still: a destination that hangs, or is too slow (`storage`), is no matter of what the guest writes. After each step the
evidence is gathered anew.
"""

from collections.abc import Collection, Mapping
from math import inf

from svmove.errors import CopyError, HypervisorError
from svmove.journal import Kind
from svmove.model import Job, WriteRate
from svmove.move import throttle
from svmove.move.context import Move
from svmove.move.outlook import Outlook, Sample, Watch
from svmove.move.phases import Phase
from svmove.move.storage import Stalls
from svmove.plan.method import synchronous_trouble
from svmove.policy import AtDeadline, Step
from svmove.requests import Method
from svmove.units import show_duration, show_rate, show_size
from svmove.volumes import DiskPlan

# Between two samples, in seconds; one costs 1 ms of libvirt's time a disk.
_EVERY = 0.5
# What is left is copied more slowly than the bulk (small pieces), and the guest writes on until it is suspended.
_MARGIN = 1.5
# A pause that did not suffice doubles the margin; this often, and suspending is not tried again.
_MISSES = 3
# So long it is believed that a window limits the copy: `svmove set` may have lifted it (seconds).
_AHEAD = 5.0


class Converge:
    """For one round of copying, by one process; a resume begins with the first step again."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self._policy = move.world.policy.converge
        self._watches: dict[str, Watch] = {}
        self._seen: dict[str, Outlook] = {}
        self._left: dict[str, int] = {}
        self._step = 0  # the index of the step that is being taken
        self._levels: dict[str, int] = {}
        self._writes: dict[str, WriteRate] = {}  # as the guest wrote before it was held back
        self._looked = float("-inf")
        self._stalls = Stalls(move)
        self._told: set[str] = set()
        self._free: set[str] = set()  # whose writes can't be held back
        self._is_limited, self._unchanged_until = False, 0.0
        self._slow = False  # a destination, so that a suspend would hang

    def look(self, jobs: Mapping[str, Job], ready: set[str]) -> Phase | None:
        """At the mirrors' figures; the phase that follows when a step leads out of the copying.

        Raises CopyError when there is no way that it could end.
        """
        move, now = self._move, self._move.world.clock.monotonic()
        if now - self._looked < _EVERY:
            return None
        self._looked = now
        for disk in self._disks(jobs):
            target, job = disk.target, jobs[disk.target]
            self._left[target] = job.remaining or 0
            if target not in ready:
                self._sample(target, job, now)
                self._stalls.look(disk, job, now)
        stuck = {t: seen for t, seen in self._seen.items() if t not in ready and seen.converges is False}
        for target, seen in stuck.items():
            if target not in self._told:
                self._told.add(target)
                move.note("never-ready", target, copy=seen.copy, dirty=seen.dirty, left=seen.left)
                move.say(text=f"{target}: never ready as it goes: {_figures(seen)}")
        if not self._policy.steps or not (stuck or self._levels) or self._must_wait():
            return None
        # What is left may come to fit in the pause by a later step as well.
        if Step.SUSPEND in self._policy.steps[: self._step + 1] and (following := self._suspend()) is not None:
            return following
        following = self._next(stuck) if stuck else None
        return None if following is Phase.COPYING else following

    def _must_wait(self) -> bool:
        """For the switch to be allowed, since until then no step would lead anywhere; or for the window to close that
        is why the copy is slow. So long nothing may weigh on the guest."""
        if self._move.opens is None and not self._limited():
            return False
        if self._levels:
            throttle.release_if_possible(self._move)
            for target in self._levels:
                self._watches[target].forget()
            self._levels, self._writes, self._step = {}, {}, 0
        return True

    def _limited(self) -> bool:
        now, windows = self._move.world.clock.now(), self._move.plan.windows
        if now >= self._unchanged_until:  # to look a week ahead takes some ms
            self._unchanged_until = min(windows.next_change(now) or inf, now + _AHEAD)
            self._is_limited = self._move.limited
        return self._is_limited

    def at_deadline(self) -> Phase | None:
        """Whether the time is over, and the policy has a longer pause for that, in which the rest fits."""
        over = (left := self._time_left()) is not None and left <= 0
        return self._longer() if over and self._move.opens is None else None

    def predicted(self, target: str) -> dict[str, float | None]:
        """For `Move.say`."""
        seen = self._seen.get(target)
        return {"seconds": seen.seconds, "converges": seen.converges} if seen else {}

    def _sample(self, target: str, job: Job, now: float) -> None:
        if job.remaining is None:
            return
        watch = self._watches.setdefault(target, Watch(self._policy.evidence))
        requests, written = self._move.world.hypervisor.writes(self._move.plan.uuid, target)
        watch.add(Sample(at=now, done=job.done, end=job.end, requests=requests, written=written))
        if (seen := watch.outlook(self._time_left())) is not None:
            self._seen[target] = seen

    def _time_left(self) -> float | None:
        deadline = self._move.terms().deadline
        return None if deadline is None else self._move.plan.created + deadline - self._move.world.clock.now()

    def _next(self, stuck: Mapping[str, Outlook]) -> Phase:
        while self._step < len(self._policy.steps):
            match self._policy.steps[self._step]:
                case Step.SUSPEND:
                    following = self._suspend()
                case Step.THROTTLE:
                    following = self._throttle(stuck)
                case Step.SYNCHRONOUS:
                    following = self._synchronous(stuck)
            if following is not None:
                return following
            self._step += 1
        if (following := self._longer()) is not None:
            return following
        raise _never(stuck)

    # The steps. Each returns the phase that follows, COPYING when the mirrors go on; None: it can do nothing (more).

    def _suspend(self) -> Phase | None:
        pause = self._move.terms().max_pause
        return self._finish(pause) if self._fits(pause) else None

    def _throttle(self, stuck: Mapping[str, Outlook]) -> Phase | None:
        acted = None
        for target, seen in stuck.items():
            if target in self._free:
                continue
            level = self._levels.get(target, 0) + 1
            writes = self._writes.setdefault(target, seen.writes)
            limits = throttle.next_level(writes, level, self._policy)
            if limits is None:
                continue
            if level == 1 and (why := throttle.obstacle(self._move, target)) is not None:
                self._free.add(target)
                self._move.say(text=f"the guest's writes to {target} are not held back: {why}")
                continue
            iops, rate = limits
            try:
                throttle.hold_back(self._move, target, iops, rate)
            except HypervisorError as error:
                self._free.add(target)
                self._move.say(text=f"the guest's writes to {target} can't be held back: {error.text}")
                continue  # what was in force stays, until it is put back with the rest
            self._levels[target] = level
            self._watches[target].forget()
            del self._seen[target]
            self._move.say(
                text=f"{target}: the guest's writes are held to {iops} a second and {show_rate(rate)}, "
                f"from {writes.requests:.0f} and {show_rate(writes.bytes)}"
            )
            acted = Phase.COPYING
        return acted

    def _synchronous(self, stuck: Mapping[str, Outlook]) -> Phase | None:
        move = self._move
        targets = [target for target in stuck if not is_synchronous(move, target)]
        if not targets:
            return None
        if (why := self._not_synchronous(targets)) is not None:
            move.say(text=f"the copy is not begun again with synchronous writes: {why}")
            return None
        for target in targets:
            move.intend("escalate", target, to=Method.SYNCHRONOUS)
            move.say(text=f"{target}: the copy begins again, and the guest's writes wait for both copies")
        return begin_again(move)

    def _not_synchronous(self, targets: list[str]) -> str | None:
        if (trouble := synchronous_trouble(self._move.world.hypervisor.versions())) is not None:
            return trouble
        patience = self._move.terms().max_pause / 4
        for disk in self._disks(targets):
            if not self._move.world.host.answers(disk.lands.path, patience):
                return f"{disk.lands.path} takes more than {show_duration(patience)}, and so would the guest's disk"
        return None

    def _longer(self) -> Phase | None:
        longest = self._policy.longest_pause
        if self._policy.at_deadline is AtDeadline.LONGER_PAUSE and self._fits(longest):
            return self._finish(max(longest, self._move.terms().max_pause))
        return None

    def _fits(self, pause: float) -> bool:
        """Whether all that is left can be copied while the guest stands, for no longer than that."""
        rates = {target: seen.copy for target, seen in self._seen.items() if seen.copy > 0 and not seen.first_pass}
        if (
            self._slow
            or not rates
            or any(target not in rates for target, seen in self._seen.items() if seen.first_pass)
        ):
            return False
        misses = len(self._move.record.all(Kind.FACT, "did-not-fit"))
        slowest = min(rates.values())
        need = max(left / rates.get(target, slowest) for target, left in self._left.items())
        reserve = self._move.world.policy.move.pivot_reserve
        return misses < _MISSES and need * _MARGIN * 2**misses + reserve < pause

    def _finish(self, pause: float) -> Phase | None:
        """The cutover drains the rest; unless the destination does not answer, which would hang the guest with it."""
        move = self._move
        for disk in self._disks(self._left):
            if not move.world.host.answers(disk.lands.path, move.terms().max_pause / 4):
                move.say(text=f"the rest would fit in a pause, but {disk.lands.path} answers too slowly")
                self._slow = True
                return None
        left = sum(self._left.values())
        move.note("short", pause=pause, left=left)
        move.say(text=f"{show_size(left)} are left, which fit in a pause: the guest is suspended for them")
        return Phase.READY

    def _disks(self, targets: Collection[str]) -> list[DiskPlan]:
        return [disk for disk in self._move.pending if disk.target in targets]


def is_synchronous(move: Move, target: str) -> bool:
    """Whether its mirror is one, or is to become one."""
    return move.plan.method is Method.SYNCHRONOUS or target in begun_again(move)


def begun_again(move: Move) -> set[str]:
    """The disks whose mirror was, or is to be."""
    return {disk.target for disk in move.plan.disks if move.intended("escalate", disk.target)}


def to_begin_again(move: Move) -> list[DiskPlan]:
    """The disks whose mirror is to be cancelled and begun again, and was not yet."""
    order = {(e.kind, e.what, e.target): number for number, e in enumerate(move.record.entries)}

    def last(what: str, target: str) -> int:
        return order.get((Kind.INTENT, what, target), -1)

    return [disk for disk in move.pending if last("escalate", disk.target) > last("copy", disk.target)]


def begin_again(move: Move) -> Phase:
    """The old mirrors are cancelled, and have ended when this returns. Raises CopyError when they don't."""
    throttle.release_if_possible(move)
    disks = to_begin_again(move)
    for disk in disks:
        move.world.hypervisor.cancel_copy(move.plan.uuid, disk.target)
        move.lengths.pop(disk.target, None)  # an image may become shorter when it is begun from nothing

    def ended(_event: object) -> bool:
        return not any(seen.mirror or seen.holds_destination for seen in move.observe().of(disks).disks)

    if not move.await_(move.world.policy.move.cancel_wait, ended):
        raise CopyError(f"the copy can't be cancelled: {move.observe()}", reason="cancel-failed")
    return Phase.PREPARED


def _never(stuck: Mapping[str, Outlook]) -> CopyError:
    told = "; ".join(f"{target}: {_figures(seen)}" for target, seen in stuck.items())
    return CopyError(
        f"the copy would never be ready: {told}",
        reason="never-ready",
        remedy="move when the guest writes less, allow a longer pause (--max-pause), or choose a faster pool",
    )


def _figures(seen: Outlook) -> str:
    return (
        f"the guest makes {show_rate(seen.dirty)} dirty ({seen.writes.requests:.0f} writes a second, "
        f"{show_rate(seen.writes.bytes)}), the copy takes {show_rate(seen.copy)}, {show_size(seen.left)} are left"
    )
