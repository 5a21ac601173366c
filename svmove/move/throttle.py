"""The guest's writes to a disk held back, so that its mirror catches up; and its own limits put back, whoever died.

The old limits and the new ones are in the journal before the new ones are in force. Whoever comes later puts the old
ones back, if what is in force is one of ours: what somebody else has set since is theirs. Only the running QEMU is
told, so a guest that is started anew has its own limits anyway.
"""

from dataclasses import dataclass

from svmove.errors import JournalError, NotFoundError, SvmoveError, UnreachableError
from svmove.journal import Kind, Record
from svmove.model import Tuning, WriteRate
from svmove.move.context import Move
from svmove.policy import ConvergePolicy
from svmove.ports import Hypervisor

# QEMU before this deadlocks on I/O limits when a disk has iothreads.
_IOTHREADS_ARE_SAFE = 10_000_009


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a disk's limits were, and what svmove has made of them since, the last one being in force."""

    target: str
    own: Tuning
    ours: tuple[Tuning, ...]

    def is_ours(self, now: Tuning) -> bool:
        return now.limits != self.own.limits and now.limits in [one.limits for one in self.ours]


def limited(own: Tuning, iops: int, rate: int) -> Tuning:
    """`own` with the guest's writes held to `iops` requests and `rate` bytes a second; never above what `own` allows.

    QEMU takes a total, or reads and writes, but not both. So a total becomes two limits whose sum it is. Bursts of
    writes end, since they are there to exceed the limit.
    """
    limits = dict(own.limits)
    for unit, most in (("bytes", rate), ("iops", iops)):
        read, write, total = (f"{what}_{unit}_sec" for what in ("read", "write", "total"))
        if (whole := limits.pop(total, 0)) > 0:
            most = max(min(most, whole - 1), 1)
            limits[read] = max(whole - most, 1)
        limits[write] = min(most, limits.get(write, most))
        for name in (total, write):
            limits.pop(f"{name}_max", None)
            limits.pop(f"{name}_max_length", None)
    return Tuning(limits=limits, group=own.group)


def next_level(writes: WriteRate, level: int, policy: ConvergePolicy) -> tuple[int, int] | None:
    """Requests and bytes a second of the level, each half of the one before; None: below the floor there is none."""
    above, here = 2 ** (level - 1), 2**level
    if writes.requests / above <= policy.floor_iops and writes.bytes / above <= policy.floor_rate:
        return None
    return (
        max(int(writes.requests / here), policy.floor_iops),
        max(int(writes.bytes / here), policy.floor_rate),
    )


def obstacle(move: Move, target: str) -> str | None:
    """Why this disk's writes can't be held back."""
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid
    domain = hypervisor.domain(uuid)
    disk = domain.disk(target)
    if disk is not None and disk.iothread and hypervisor.versions().qemu < _IOTHREADS_ARE_SAFE:
        return "it has an iothread, and this QEMU may deadlock on I/O limits then"
    if group := hypervisor.tuning(uuid, target).group:
        others = [other.target for other in domain.live if other.device == "disk" and other.target != target]
        sharing = [other for other in others if hypervisor.tuning(uuid, other).group == group]
        if sharing:
            return f"it shares its limits (group {group}) with {', '.join(sharing)}"
    return None


def hold_back(move: Move, target: str, iops: int, rate: int) -> None:
    """Raises HypervisorError; then nothing is changed, or `release` finds it."""
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid
    known = {held.target: held.own for held in in_force(move.record)}
    own = known.get(target) or hypervisor.tuning(uuid, target)
    new = limited(own, iops, rate)
    # From here on somebody must put it back, should this process die.
    move.world.guard(move.plan.move)
    move.intend("throttle", target, own=dict(own.limits), ours=dict(new.limits), group=own.group)
    hypervisor.set_tuning(uuid, target, new)


def in_force(record: Record) -> tuple[InForce, ...]:
    """As far as the journal knows."""
    found: dict[str, list[tuple[Tuning, Tuning]]] = {}
    for entry in record.entries:
        target = entry.target or ""
        if (entry.kind, entry.what) == (Kind.INTENT, "throttle"):
            group = str(entry.data["group"])
            own, ours = (Tuning(limits=entry.data[which], group=group) for which in ("own", "ours"))
            found.setdefault(target, []).append((own, ours))
        elif (entry.kind, entry.what) == (Kind.FACT, "released"):
            found.pop(target, None)
    return tuple(
        InForce(target=target, own=pairs[0][0], ours=tuple(ours for _, ours in pairs))
        for target, pairs in found.items()
    )


def put_back(hypervisor: Hypervisor, uuid: str, held: InForce) -> str:
    """What was done, in words. Raises HypervisorError."""
    try:
        domain = hypervisor.domain(uuid)
    except NotFoundError:
        return "the guest is gone"
    if domain.disk(held.target) is None:
        return "the guest is off, or has no such disk any more"
    now = hypervisor.tuning(uuid, held.target)
    if now.limits == held.own.limits:
        return "its own limits were in force"
    if not held.is_ours(now):
        return "somebody else has set other limits, which stay"
    hypervisor.set_tuning(uuid, held.target, held.own)
    return "its own limits are in force again"


def release(move: Move) -> None:
    """Puts back the limits of every disk that has ours. Idempotent. Raises HypervisorError."""
    for held in in_force(move.record):
        move.note("released", held.target, text=put_back(move.world.hypervisor, move.plan.uuid, held))


def release_if_possible(move: Move) -> None:
    """Where nothing may go wrong for it: what fails is told, tried again by the next phase, and by `svmove gc`."""
    try:
        release(move)
    except (UnreachableError, JournalError):
        raise
    except SvmoveError as error:
        move.say(text=f"the guest's own I/O limits could not be put back: {error.text}")
