"""Every byte: the frozen source against the export of the destination as it was at the cutover.

The guest runs meanwhile. What it overwrites on the destination, QEMU first copies to a scratch file; when
that can't grow, QEMU pauses the GUEST. So the free space is watched, and the verification gives way long
before: the move is then held as `unverified`, with the source kept.

Several readers compare at once (`compare`). By the method `snapshot` what was frozen has been compared before the
switch; then only what was written since is left.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from svmove.errors import HostError, InterruptedMoveError, UnverifiedError
from svmove.events import EventKind
from svmove.move import storage
from svmove.move.compare import Comparison, Piece, Read, covering, slices
from svmove.move.context import Move
from svmove.move.hanging import silent
from svmove.move.observe import Where
from svmove.move.phases import Phase
from svmove.move.proof import onward
from svmove.move.standstill import scratch_files
from svmove.outcomes import Mismatch
from svmove.requests import Verify
from svmove.units import show_duration, show_size
from svmove.volumes import DiskPlan

# A comparison that was left has told of itself within so many seconds, unless its storage hangs.
_MOMENT = 2.0
_LOOK_AT = "the guest runs on its destination: look whether its storage is well, before all else"
# Of a disk whose frozen part is proven; each costs the start of a qemu-img, 20 ms.
_RANGES = 64


def ready_to_verify(move: Move) -> Phase:
    """Before the cutover: all that the export will need is made now, so that the guest's pause is short."""
    move.may_go_on()
    storage.unless_full(move)
    if move.plan.verify is not Verify.NONE:
        process = move.observe().process
        if process is None:
            raise HostError("the guest's QEMU process is gone")
        sizes = {disk.target: disk.destination.capacity for disk in move.pending}
        files = {path: sizes[target] for target, path in scratch_files(move, sizes).items()}
        move.intend("scratch", folder=move.scratch)
        move.world.host.make_scratch(move.scratch, files, process)
        enough_scratch(move)
    return Phase.CUTOVER


def verify(move: Move) -> Phase:
    """Raises UnverifiedError when it had to give way; the guest goes on, and the hold ends the export."""
    found = _known(move) or _compared(move)
    move.world.hypervisor.end_export(move.plan.uuid, move.socket)
    move.world.host.remove_scratch(move.scratch)
    _release(move)
    wrong = {target: extents for target, extents in found.items() if extents}
    if wrong:
        told = "; ".join(
            f"{target}: {len(extents)} extents, first at {extents[0].offset}" for target, extents in wrong.items()
        )
        move.blame(
            "mismatch",
            f"source and destination differ ({told}); both are kept, the guest is on the destination",
        )
        return Phase.HELD
    seen = move.observe()
    if not seen.off and seen.of(move.over).where is not Where.DESTINATION:
        # Somebody has removed or replaced the file that QEMU writes to: the source is the only one with a name.
        move.blame("unclear", f"all was verified, but the guest is not on its destinations any more: {seen}")
        return Phase.HELD
    return onward(move)


def _known(move: Move) -> dict[str, tuple[Mismatch, ...]] | None:
    """What an svmove that died afterwards has found already, of all disks that are over."""
    if move.unverified:
        return None
    noted = {disk.target: move.noted("verified", disk.target) for disk in move.over}
    return {
        target: tuple(Mismatch(**extent) for extent in entry.data["mismatches"])
        for target, entry in noted.items()
        if entry is not None and not move.noted("waived", target)
    }


def _compared(move: Move) -> dict[str, tuple[Mismatch, ...]]:
    """Recorded at once: no trouble in what follows may lose it."""
    if not move.world.hypervisor.exports(move.plan.uuid, move.socket):
        raise UnverifiedError("the export of the destination as it was at the cutover is gone")
    disks = move.unverified
    silence = Silence(move, disks)

    def watch(done: dict[str, int]) -> None:
        silence.look(sum(done.values()))
        _watch(move, disks, done)

    try:
        found = Comparison(move.world.policy.verify, watch).run(_pieces(move, disks))
    except (UnverifiedError, InterruptedMoveError):
        silence.tell()
        raise
    except HostError as error:
        if move.world.hypervisor.exports(move.plan.uuid, move.socket):
            raise UnverifiedError(f"the comparison failed: {error.text}{silence.why()}", remedy=_LOOK_AT) from error
        why = "the guest was stopped" if move.observe().off else "somebody ended the export"
        raise UnverifiedError(f"{why} during the verification: {error.text}") from error
    for disk in disks:
        move.note("verified", disk.target, mismatches=[asdict(extent) for extent in found.get(disk.target, ())])
    return {disk.target: found.get(disk.target, ()) for disk in disks}


class Silence:
    """A comparison that does not get on: its readers wait for a storage, and QEMU may wait for it for ever."""

    def __init__(self, move: Move, disks: tuple[DiskPlan, ...]) -> None:
        self._move, self._disks = move, disks
        self._done, self._since = -1, move.world.clock.monotonic()

    def look(self, done: int) -> None:
        """Raises UnverifiedError when nothing was compared for the policy's time for a storage that hangs."""
        now, longest = self._move.world.clock.monotonic(), self._move.world.policy.move.answer_wait
        if done != self._done:
            self._done, self._since = done, now
        elif now - self._since > longest:
            told = f"nothing was compared for {show_duration(now - self._since)}{self.why()}"
            raise UnverifiedError(told, remedy=_LOOK_AT)

    def why(self) -> str:
        """Which of the storages does not answer, if one does not."""
        found = silent(self._move, [path for disk in self._disks for path in (disk.lands.path, disk.leaves)])
        return "".join(f"; the storage of {path} does not answer ({why})" for path, why in found.items())

    def tell(self) -> None:
        """For the hold, whatever the comparison is left for: it must not end the export of a storage that hangs."""
        if self._move.world.clock.monotonic() - self._since < _MOMENT:
            return
        if found := silent(self._move, [disk.lands.path for disk in self._disks]):
            self._move.note("storage-hangs", paths=list(found))


def _release(move: Move) -> None:
    """QEMU pauses the guest when the scratch file can't grow; with the export gone, its write goes through."""
    if move.world.hypervisor.domain(move.plan.uuid).io_error:
        move.world.hypervisor.resume(move.plan.uuid)


def _pieces(move: Move, disks: tuple[DiskPlan, ...]) -> Iterator[Piece]:
    """Large disks first, so that no reader is left with a whole one at the end."""
    for disk in sorted(disks, key=lambda disk: -disk.copy_bytes):
        for offset, length in slices(_ranges(move, disk), _slice(move, disk)):
            yield Piece(key=disk.target, offset=offset, length=length, read=_reader(move, disk))


def _slice(move: Move, disk: DiskPlan) -> int:
    """Bytes. Each reader opens the source anew, which with LUKS takes two seconds of a CPU for the key."""
    policy = move.world.policy.verify
    return (
        policy.slice if disk.source_luks is None else max(policy.slice, -(-disk.destination.capacity // policy.workers))
    )


def _ranges(move: Move, disk: DiskPlan) -> Sequence[tuple[int, int]]:
    """All of it; or, where what lies below was proven before the switch, what either top file has of its own."""
    whole = (0, disk.destination.capacity)
    if move.plan.verify is not Verify.BEFORE or not disk.shallow:
        return [whole]
    host = move.world.host
    tops = (*host.extents(disk.leaves, disk.leaves_format), *host.extents(disk.lands.path, disk.lands.format))
    return covering(tops, _RANGES)


def _reader(move: Move, disk: DiskPlan) -> Read:
    def read(offset: int, length: int, advanced: Callable[[int], bool]) -> int | None:
        host = move.world.host
        return host.compare(disk.leaves, disk.leaves_format, move.socket, disk.target, offset, length, advanced)

    return read


def _watch(move: Move, disks: tuple[DiskPlan, ...], done: dict[str, int]) -> None:
    """One look at all that may make the verification give way."""
    event = move.events.next(0)
    if event is not None and event.kind is EventKind.STOPPED:
        raise UnverifiedError("the guest was stopped during the verification")
    if event is not None and event.kind is EventKind.IO_ERROR:
        raise UnverifiedError("the guest met an I/O error during the verification")
    if move.world.cancel.is_set():
        raise InterruptedMoveError("interrupted during the verification")
    enough_scratch(move)
    for disk in disks:
        size = disk.destination.capacity
        move.say(disk.target, min(done.get(disk.target, 0), size), size)


def enough_scratch(move: Move) -> None:
    """Raises UnverifiedError when the scratch files could soon not grow any more."""
    free, reserve = move.world.host.free(move.scratch), move.world.policy.space.scratch_reserve
    if free < reserve:
        raise UnverifiedError(
            f"{show_size(free)} left for the verification's scratch files, the reserve is {show_size(reserve)}",
            remedy="free some, or set paths.scratch in the policy",
        )
