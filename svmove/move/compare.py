"""Compares ranges of images, several at once: one reader alone was two to three times slower than the copy.

What reads is handed in: an export against the source at the cutover, or two files that nobody writes.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from svmove.outcomes import Mismatch
from svmove.policy import VerifyPolicy
from svmove.units import KiB

# How finely the extents of a mismatch are told.
_GRAIN = 64 * KiB
# Between two looks at what may make a comparison give way: scratch space, the guest, the user.
_WATCH = 0.25

# Of a range (offset, length): the offset of the first difference, or None; tells how far it got, and stops at False.
Read = Callable[[int, int, Callable[[int], bool]], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    key: str  # of what it is a piece
    offset: int
    length: int
    read: Read


class Comparison:
    """`watch` is called now and then, with the bytes done of each key, and raises to stop it. A reader that waits for
    a storage is told so too: it ends by itself."""

    def __init__(self, policy: VerifyPolicy, watch: Callable[[dict[str, int]], None]) -> None:
        self._policy, self._watch = policy, watch
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._found: dict[str, list[Mismatch]] = {}

    def run(self, pieces: Iterable[Piece]) -> dict[str, tuple[Mismatch, ...]]:
        """What differs, by key; a key without a piece has nothing."""
        with ThreadPoolExecutor(self._policy.workers, thread_name_prefix="compare") as pool:
            waiting: set[Future[None]] = {pool.submit(self._compare, piece) for piece in pieces}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=_WATCH, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    with self._lock:
                        advanced = dict(self._done)
                    self._watch(advanced)
            except BaseException:
                self._stop.set()
                for future in waiting:
                    future.cancel()
                raise
        return {key: merged(extents) for key, extents in self._found.items()}

    def _compare(self, piece: Piece) -> None:
        offset, end = piece.offset, piece.offset + piece.length
        with self._lock:
            found = self._found.setdefault(piece.key, [])
        while offset < end and len(found) < self._policy.max_mismatches:
            at = piece.read(offset, end - offset, lambda size: self._advanced(piece.key, size))
            if at is None:
                return
            start = at // _GRAIN * _GRAIN
            offset = min(start + _GRAIN, end)
            with self._lock:
                found.append(Mismatch(offset=start, length=offset - start))

    def _advanced(self, key: str, size: int) -> bool:
        with self._lock:
            self._done[key] = self._done.get(key, 0) + size
        return not self._stop.is_set()


def slices(extents: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Cuts (offset, length) into pieces of at most `size`."""
    for offset, length in extents:
        for start in range(offset, offset + length, size):
            yield start, min(size, offset + length - start)


def covering(extents: Iterable[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most `most` ranges (offset, length) that cover all extents: those with the smallest gaps become one."""
    ranges: list[list[int]] = []
    for offset, length in sorted(extents):
        if ranges and offset <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], offset + length)
        else:
            ranges.append([offset, offset + length])
    gaps = sorted(range(1, len(ranges)), key=lambda n: ranges[n][0] - ranges[n - 1][1], reverse=True)
    kept = set(gaps[: most - 1])
    joined: list[list[int]] = []
    for number, (begin, end) in enumerate(ranges):
        if joined and number not in kept:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    return [(begin, end - begin) for begin, end in joined]


def merged(extents: Iterable[Mismatch]) -> tuple[Mismatch, ...]:
    found: list[Mismatch] = []
    for extent in sorted(extents, key=lambda extent: extent.offset):
        if found and found[-1].offset + found[-1].length >= extent.offset:
            first = found.pop()
            end = max(first.offset + first.length, extent.offset + extent.length)
            extent = Mismatch(offset=first.offset, length=end - first.offset)
        found.append(extent)
    return tuple(found)
