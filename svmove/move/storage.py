"""Is a destination's storage too slow for a copy to end on it? Asked before anything is copied, and of a copy that
stands still, or crawls.

What QEMU has in flight (16 MiB) can't be called back: at 1.5 s a write it is a minute until that is done. So it is
asked first, when there is nothing to call back. No cutover would come of it either: it wants the storage to
answer in a quarter of the guest's pause.

A storage that hangs is another matter: it may come back, so it is waited for, as long as before a cutover.
"""

import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from svmove import location
from svmove.errors import CopyError, HostError, HypervisorError, SilentStorageError, SvmoveError
from svmove.journal import Kind
from svmove.model import Job
from svmove.move.context import Move
from svmove.move.observe import Seen
from svmove.move.outlook import Pace, Sample
from svmove.ports_host import Probe
from svmove.units import KiB, MiB, show_duration, show_rate, show_size
from svmove.volumes import QCOW2_CLUSTER, DiskPlan

# What a probe writes.
_WRITE = 64 * KiB
# A disk takes 10 ms, an SSD 1. One that takes more than this is asked again, since everybody hiccups.
_QUICK = 0.25
_TRIES = 3
# Between two looks at a probe, and whether the move is to go on.
_LOOK = 0.25
# A slow destination's mirror: 16 requests of 64 KiB, so that it shows its progress, and ends soon when cancelled.
_SMALL = 1 * MiB
# After a storage has come back, what QEMU had in flight is through in so many seconds.
_COMES_BACK = 5.0
# For a read that shows whether a storage answers.
_ASK = 5.0
REMEDY = "mend that storage, or make room in it (of Ceph: ceph health detail); or choose another pool"
# With a limit below that, QEMU's least request (1 MiB) takes long by itself.
_LEAST_CAP = 1 * MiB


def unless_too_slow(move: Move) -> None:
    """Before anything is copied. Raises CopyError when a write to a destination takes too long, time after time.

    Notes what is slow, and still good enough for the guest's pause."""
    if any(move.record.all(Kind.INTENT, what) for what in ("copy", "lay-over")):
        return  # a copy under way is watched; its own writes would be in the way of a probe's
    folders = {_storage(disk.lands.path): disk for disk in move.pending}
    for folder, disk in folders.items():
        took = _write_takes(move, folder, disk.lands.path)
        if took is not None and took > _QUICK:
            move.note("slow", disk.target, folder=folder, seconds=took)


def _storage(path: str) -> str:
    """What answers as quickly as the image does: its folder, or the image itself."""
    return str(PurePosixPath(path).parent) if location.is_file(path) else path


def buffer(move: Move, disk: DiskPlan, wanted: int) -> int:
    """For the mirror of that disk, in bytes: whole clusters.

    QEMU goes by a hole in steps of the buffer, and of a qcow2 it leaves out only what is whole clusters. With others
    64 MiB arrived as 192 (granules of 4 KiB), 139 as 270 (clusters of 2 MiB).
    """
    slow = {entry.data["folder"] for entry in move.record.all(Kind.FACT, "slow")}
    size = min(wanted, _SMALL) if _storage(disk.lands.path) in slow else wanted
    cluster = disk.lands.cluster_bytes or QCOW2_CLUSTER
    return size and max(size // cluster, 1) * cluster  # 0: QEMU's own


def _write_takes(move: Move, folder: str, path: str) -> float | None:
    """Seconds, the least of some tries if one is not enough. None: it can't be asked. Raises CopyError."""
    clock, policy = move.world.clock, move.world.policy
    longest = move.terms().max_pause / 4
    began, took = clock.monotonic(), list[float]()
    while True:
        try:
            took.append(_ended(move, path, move.world.host.probe(path)))
        except HostError as error:
            move.say(text=f"how long a write to {folder} takes is not known: {error.text}")
            return None
        least = min(took)
        if least <= min(_QUICK, longest):
            return least
        move.say(text=f"a write to {folder} takes {show_duration(took[-1])}")
        if len(took) >= _TRIES:
            if least <= longest or not policy.converge.steps:
                return least
            if (asked := clock.monotonic() - began) >= policy.converge.standstill:
                raise _too_slow(move, folder, least, f"the best of {len(took)} tries in {show_duration(asked)}")
        clock.sleep(policy.move.attempt_wait)


def _ended(move: Move, path: str, probe: Probe) -> float:
    """Raises CopyError when it has not ended after the policy's time for a storage that hangs."""
    clock = move.world.clock
    deadline = clock.monotonic() + move.world.policy.move.answer_wait
    told = False
    try:
        while (took := probe.took(_LOOK)) is None:
            move.may_go_on()
            if clock.monotonic() > deadline:
                raise CopyError(
                    f"the storage of {path} does not answer",
                    reason="destination-hangs",
                    remedy="mend that storage, or choose another pool",
                )
            if not told and clock.monotonic() > deadline - move.world.policy.move.answer_wait + _COMES_BACK:
                told = True
                move.say(text=f"the storage of {path} does not answer: the copy waits")
        return took
    finally:
        probe.give_up()


def _too_slow(move: Move, folder: str, seconds: float, how: str) -> CopyError:
    rate = _WRITE / seconds
    size = sum(disk.copy_bytes for disk in move.pending if _storage(disk.lands.path) == folder)
    return CopyError(
        f"the copy would never be ready: a write of {show_size(_WRITE)} to {folder} takes {show_duration(seconds)} "
        f"({how}), where the guest's pause allows {show_duration(move.terms().max_pause / 4)}; one after the other, "
        f"that is {show_rate(rate)}, and {show_duration(size / rate)} for {show_size(size)}",
        reason="never-ready",
        remedy="mend that storage, choose another pool, or allow a longer pause: "
        f"--max-pause {math.ceil(seconds * 5)}s",
    )


def _crawls(disk: DiskPlan, job: Job, copied: int, seconds: float) -> CopyError:
    rate, left = copied / seconds, job.end - job.done
    return CopyError(
        f"the copy would never be ready: {show_size(copied)} were copied to {disk.lands.path} in "
        f"{show_duration(seconds)}, {show_rate(round(rate))}; {show_size(left)} are left, which is "
        f"{show_duration(left / rate)} at that rate",
        reason="never-ready",
        remedy="mend that storage, or choose a faster pool",
    )


def _stands(move: Move, disk: DiskPlan, job: Job, seconds: float, took: float) -> CopyError:
    path = disk.lands.path
    text = f"the copy would never be ready: nothing was copied to {path} for {show_duration(seconds)}, though"
    left = f"{show_size(job.end - job.done)} are left"
    if location.is_file(path):
        said = f"{text} its storage answers: a write of {show_size(_WRITE)} takes {show_duration(took)}; {left}"
        return CopyError(said, reason="never-ready", remedy="mend that storage, or choose a faster pool")
    return CopyError(f"{text} {ails(move, path)}; {left}", reason="never-ready", remedy=REMEDY)


def _hangs(move: Move, disk: DiskPlan, seconds: float) -> CopyError:
    path = disk.lands.path
    said = f"nothing was copied to {path} for {show_duration(seconds)}: {ails(move, path)}"
    return CopyError(said, reason="destination-hangs", remedy=REMEDY)


def ails(move: Move, path: str) -> str:
    """What is wrong with a storage on which writes do not end, in words.

    Ceph and thin LUNs let the writes to a pool that is full wait: neither QEMU nor libvirt hears of an error.

    Raises HypervisorError when its secret is gone."""
    host = move.world.host
    room = host.room_left(path)
    if room is not None and room <= 0:
        return "its pool is full, or over its quota"
    full = "; it may be full, or over a quota" if room is None and not location.is_file(path) else ""
    if (trouble := host.trouble(path, _ASK)) is not None:
        return f"its storage does not answer ({trouble}){full}"
    return f"its storage answers to reads{full}"


def stuck(move: Move, seen: Seen) -> SvmoveError:
    """Of copies that do not end: QEMU waits for what it has in flight, of Ceph or iSCSI for ever. Or that have ended,
    as far as can be told of a storage that hangs."""
    busy = [disk.plan.lands.path for disk in seen.disks if disk.copies or disk.holds_destination]
    told = []
    for path in busy or [disk.lands.path for disk in move.plan.disks if location.is_network(disk.lands.path)]:
        try:
            told.append(f"{path}: {ails(move, path)}")
        except HypervisorError as error:
            told.append(f"{path}: {error.text}")
    causes = [entry.data["text"] for entry in move.record.entries if entry.kind is Kind.ERROR]
    after = f"; it was given up because {causes[-1]}" if causes else ""
    if not busy:
        said = f"whether the guest has let its destination go can't be looked at: {'; '.join(told)}{after}. {seen}"
        return SilentStorageError(said, remedy=REMEDY)
    return CopyError(
        f"the copy can't be cancelled, what QEMU has in flight does not end: {'; '.join(told)}{after}. {seen}",
        reason="cancel-failed",
        remedy="the guest must not be suspended, reset or shut down before the copy has ended: "
        "mend the destination's storage, or make room in it",
    )


def unless_full(move: Move) -> None:
    """Before the cutover. On a pool that is full the guest itself would hang with its first write. Raises CopyError."""
    for path in dict.fromkeys(disk.lands.path for disk in move.pending):
        room = move.world.host.room_left(path)
        if room is not None and room <= 0:
            said = f"the pool of {path} is full, or over its quota: the guest would hang there"
            raise CopyError(said, reason="no-space", remedy="make room in that pool, or choose another one")


def unless_source_full(move: Move, disk: DiskPlan) -> None:
    """Before its copy is begun, for which QEMU drains its writes: Ceph lets those to a full pool wait, and QEMU's main
    loop, all of the guest, would wait for them. The plan may be minutes old. Raises CopyError."""
    room = move.world.host.room_left(disk.leaves)
    if room is not None and room <= 0:
        raise CopyError(
            f"the pool of {disk.leaves} is full, or over its quota: what the guest writes there waits, and all of the "
            "guest would if a copy was begun",
            reason="source-full",
            remedy="make room in that pool (of Ceph: ceph health detail), then move again",
        )


@dataclass(slots=True, kw_only=True)
class _Still:
    """A copy, since it went on last."""

    since: float
    done: int
    probe: Probe | None = None
    answered: float | None = None  # when a write had ended


class Stalls:
    """Copies that stand still or crawl, as one process sees them."""

    def __init__(self, move: Move) -> None:
        self._move = move
        self._seen: dict[str, _Still] = {}
        self._paces: dict[str, Pace] = {}

    def look(self, disk: DiskPlan, job: Job, now: float) -> None:
        """Raises CopyError for a storage that takes writes, and yet nothing was copied to it for the policy's time.
        And for one to which so little was copied, twice in that time, as writes one by one would bring of which no
        cutover would wait for one.

        For one that hangs, or fails, when it has done so for the policy's time besides: QEMU waits for Ceph and iSCSI
        for ever.

        A write that was begun meanwhile has to end, and a while later another one: a storage that hung, and comes
        back, ends the first one as well, but then the copy goes on."""
        still, path = self._seen.get(disk.target), disk.lands.path
        terms, policy = self._move.terms(), self._move.world.policy.converge
        # From when it could have gone on: a limit that was too low for that may have been lifted just now.
        capped = terms.bandwidth is not None and terms.bandwidth < _LEAST_CAP
        if capped or not policy.steps:
            self._paces.pop(disk.target, None)
        else:
            pace = self._paces.setdefault(disk.target, Pace(policy.standstill))
            seen = pace.slow(Sample(at=now, done=job.done, end=job.end), _WRITE / (terms.max_pause / 4))
            if seen is not None:
                raise _crawls(disk, job, *seen)
        if still is None or job.done != still.done or capped:
            if still is not None and still.probe is not None:
                still.probe.give_up()
            self._seen[disk.target] = _Still(since=now, done=job.done)
            return
        if now - still.since < policy.standstill or not policy.steps:
            return
        if still.probe is None:
            if still.answered is None or now - still.answered >= _COMES_BACK:
                still.probe = self._begin(disk, still, now)
            return
        still_for = now - still.since
        given_up = still_for >= policy.standstill + self._move.world.policy.move.answer_wait
        if (took := still.probe.took(0)) is None:
            if given_up:
                still.probe.give_up()
                raise _hangs(self._move, disk, still_for)
            return
        still.probe.give_up()
        still.probe = None
        if still.answered is None:
            still.answered = now
        elif location.is_network(path) and self._move.world.host.trouble(path, _ASK) is not None:
            if given_up:  # it may come back: a server that is started anew
                raise _hangs(self._move, disk, still_for)
            still.answered = None
        else:
            raise _stands(self._move, disk, job, still_for, took)

    def _begin(self, disk: DiskPlan, still: _Still, now: float) -> Probe | None:
        try:
            return self._move.world.host.probe(disk.lands.path)
        except HostError as error:
            still.since = now  # asked again when as much time has passed
            self._move.say(text=f"whether {disk.lands.path} takes writes is not known: {error.text}")
            return None
