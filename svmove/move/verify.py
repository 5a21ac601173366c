"""Every byte: the frozen source against the export of the destination as it was at the cutover.

The guest runs meanwhile. What it overwrites on the destination, QEMU first copies to a scratch file; when
that can't grow, QEMU pauses the GUEST. So the free space is watched, and the verification gives way long
before: the move is then held as `unverified`, with the source kept.

The range is cut into slices that several readers compare at once: one reader alone was two to three times
slower than the copy (docs/internals.md).
"""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass

from svmove.errors import HostError, InterruptedMoveError, UnverifiedError
from svmove.model import EventKind
from svmove.move.context import Move
from svmove.move.cutover import onward
from svmove.move.observe import Where
from svmove.move.phases import Phase
from svmove.move.standstill import scratch_files
from svmove.moves import DiskPlan, Mismatch, Verify
from svmove.units import KiB, show_size

# How finely the extents of a mismatch are told.
_GRAIN = 64 * KiB
# Between two looks at the scratch space; the reserve is there for what a guest writes in between (512 MiB: 2 GiB/s).
_WATCH = 0.25


def ready_to_verify(move: Move) -> Phase:
    """Before the cutover: all that the export will need is made now, so that the guest's pause is short."""
    move.may_go_on()
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
    """Raises UnverifiedError when it had to give way; the guest goes on, and the export is ended."""
    try:
        found = _known(move) or _compared(move)
    finally:
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
    try:
        found = _Comparison(move, disks).run()
    except HostError as error:
        if move.world.hypervisor.exports(move.plan.uuid, move.socket):
            raise
        why = "the guest was stopped" if move.observe().off else "somebody ended the export"
        raise UnverifiedError(f"{why} during the verification: {error.text}") from error
    for disk in disks:
        move.note("verified", disk.target, mismatches=[asdict(extent) for extent in found[disk.target]])
    return found


def _release(move: Move) -> None:
    """QEMU pauses the guest when the scratch file can't grow; with the export gone, its write goes through."""
    if move.world.hypervisor.domain(move.plan.uuid).io_error:
        move.world.hypervisor.resume(move.plan.uuid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    disk: DiskPlan
    offset: int
    length: int


class _Comparison:
    def __init__(self, move: Move, disks: tuple[DiskPlan, ...]) -> None:
        self._move = move
        self._disks = disks
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._done = {disk.target: 0 for disk in disks}
        self._found: dict[str, list[Mismatch]] = {disk.target: [] for disk in disks}

    def run(self) -> dict[str, tuple[Mismatch, ...]]:
        policy = self._move.world.policy.verify
        with ThreadPoolExecutor(policy.workers, thread_name_prefix="compare") as pool:
            waiting: set[Future[None]] = {
                pool.submit(self._compare, piece) for piece in _slices(self._disks, policy.slice)
            }
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=_WATCH, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    self._watch()
                    self._say()
            except BaseException:
                self._stop.set()
                for future in waiting:
                    future.cancel()
                # Readers that wait for the export must be let go, or the pool would never end.
                self._move.world.hypervisor.end_export(self._move.plan.uuid, self._move.socket)
                raise
        return {target: _merged(extents) for target, extents in self._found.items()}

    def _compare(self, piece: _Slice) -> None:
        limit = self._move.world.policy.verify.max_mismatches
        offset, end = piece.offset, piece.offset + piece.length
        while offset < end and len(self._found[piece.disk.target]) < limit:
            at = self._move.world.host.compare(
                piece.disk.source,
                piece.disk.source_format,
                self._move.socket,
                piece.disk.target,
                offset,
                end - offset,
                lambda advanced, disk=piece.disk: self._advanced(disk, advanced),  # type: ignore[misc]
            )
            if at is None:
                return
            start = at // _GRAIN * _GRAIN
            offset = min(start + _GRAIN, end)
            with self._lock:
                self._found[piece.disk.target].append(Mismatch(offset=start, length=offset - start))

    def _advanced(self, disk: DiskPlan, size: int) -> bool:
        with self._lock:
            self._done[disk.target] += size
        return not self._stop.is_set()

    def _watch(self) -> None:
        """One look at all that may make the verification give way."""
        move = self._move
        event = move.events.next(0)
        if event is not None and event.kind is EventKind.STOPPED:
            raise UnverifiedError("the guest was stopped during the verification")
        if event is not None and event.kind is EventKind.IO_ERROR:
            raise UnverifiedError("the guest met an I/O error during the verification")
        if move.world.cancel.is_set():
            raise InterruptedMoveError("interrupted during the verification")
        enough_scratch(move)

    def _say(self) -> None:
        with self._lock:
            done = dict(self._done)
        for disk in self._disks:
            size = disk.destination.capacity
            self._move.say(disk.target, min(done[disk.target], size), size)


def enough_scratch(move: Move) -> None:
    """Raises UnverifiedError when the scratch files could soon not grow any more."""
    free, reserve = move.world.host.free(move.scratch), move.world.policy.space.scratch_reserve
    if free < reserve:
        raise UnverifiedError(
            f"{show_size(free)} left for the verification's scratch files, the reserve is {show_size(reserve)}",
            remedy="free some, or set paths.scratch in the policy",
        )


def _slices(disks: tuple[DiskPlan, ...], size: int) -> Iterator[_Slice]:
    """Large disks first, so that no reader is left with a whole one at the end."""
    for disk in sorted(disks, key=lambda disk: -disk.copy_bytes):
        capacity = disk.destination.capacity
        for offset in range(0, capacity, size):
            yield _Slice(disk=disk, offset=offset, length=min(size, capacity - offset))


def _merged(extents: list[Mismatch]) -> tuple[Mismatch, ...]:
    merged: list[Mismatch] = []
    for extent in sorted(extents, key=lambda extent: extent.offset):
        if merged and merged[-1].offset + merged[-1].length >= extent.offset:
            first = merged.pop()
            end = max(first.offset + first.length, extent.offset + extent.length)
            extent = Mismatch(offset=first.offset, length=end - first.offset)
        merged.append(extent)
    return tuple(merged)
