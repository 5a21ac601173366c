"""Will this mirror ever be ready, and when? Judged from its figures alone; pure, the time is handed in.

QEMU says a mirror is ready when nothing was dirty for one instant. Of its figures, `done` grows with what was copied
and `end` with what the guest has made dirty meanwhile, both in whole granules of the bitmap. So their rates are what
the mirror can do and what it has to do, however large the guest's writes are.

The first pass is no evidence: holes go by at ten times the rate, and behind it everything becomes dirty again. It is
over when as much was copied as there was at the start. From then on what is left must shrink.
"""

from collections import deque
from dataclasses import dataclass

from svmove.model import WriteRate

# Of what is copied: a mirror that nears its end by less than this does not converge, unless the end is in sight (the
# time of its evidence). Less is within what a guest's writes vary: 600 random ones a second, over 64 MiB, let what was
# left fall by 10 to 15 % of what was copied for 10 s, and rise again.
_NEARER = 0.2
# The verdict must stand for this part of the time that its evidence takes.
_STANDS = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at a mirror. Bytes of the job; requests and bytes that the guest has written."""

    at: float  # seconds, monotonic
    done: int
    end: int
    requests: int = 0
    written: int = 0

    @property
    def left(self) -> int:
        return self.end - self.done


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    copy: float  # bytes per second
    dirty: float  # likewise, of what the guest makes dirty
    left: int  # bytes
    writes: WriteRate  # the guest's own
    first_pass: bool
    seconds: float | None  # until it is ready, as it goes; None: not known, or never
    converges: bool | None  # None: not known yet


class Pace:
    """Does a copy crawl? Judged in windows that begin and end when something was copied, so that a storage that has
    hung and is back is not called slow: of the window in which it hung the end is the moment when it came back, and
    in the next one it is as fast as ever."""

    def __init__(self, window: float) -> None:
        """`window`: seconds, at least."""
        self._window = window
        self._began: Sample | None = None
        self._last: Sample | None = None
        self._before: Sample | None = None  # when a window began that was too slow, and was followed by this one

    def slow(self, now: Sample, least: float) -> tuple[int, float] | None:
        """Bytes that were copied, and seconds that it took, of two windows one after the other in each of which it
        was less than `least` bytes per second; None as long as there are no such ones."""
        if self._last is not None and now.done == self._last.done:
            return None
        self._last = now
        if self._began is None:
            self._began = now
            return None
        seconds = now.at - self._began.at
        if seconds < self._window:
            return None
        first, self._began, self._before = self._before, now, self._began
        if now.done - self._before.done >= least * seconds or now.left < least * seconds:
            self._before = None
            return None
        return None if first is None else (now.done - first.done, now.at - first.at)


class Watch:
    """The outlook of one mirror. `evidence`: seconds of each of the two windows that are compared."""

    def __init__(self, evidence: float) -> None:
        self._evidence = evidence
        self._whole: int | None = None  # bytes of the first pass
        self._first_pass = True
        self._samples: deque[Sample] = deque()
        self._doubted: float | None = None  # since when it seems not to converge

    def add(self, sample: Sample) -> None:
        if self._whole is None:
            self._whole = sample.end
        if self._first_pass and sample.done >= self._whole:
            self._first_pass = False
            self.forget()
        self._samples.append(sample)
        while self._samples[0].at < sample.at - 2 * self._evidence:
            self._samples.popleft()

    def forget(self) -> None:
        """Something has changed: what was seen until now says nothing about what comes."""
        self._samples.clear()
        self._doubted = None

    def outlook(self, time_left: float | None = None) -> Outlook | None:
        """None before there are two samples. `time_left`: seconds; an end that is later than that is none."""
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at - first.at
        if seconds <= 0:
            return None
        copy = (last.done - first.done) / seconds
        nearer = self._nearer()
        predicted = last.left / nearer if nearer is not None and nearer > 0 else None
        if predicted is not None and nearer is not None and nearer <= copy * _NEARER:
            predicted = predicted if self._first_pass or predicted <= 2 * self._evidence else None
        return Outlook(
            copy=copy,
            dirty=(last.end - first.end) / seconds,
            left=last.left,
            writes=WriteRate(
                requests=max(last.requests - first.requests, 0) / seconds,
                bytes=max(last.written - first.written, 0) / seconds,
            ),
            first_pass=self._first_pass,
            seconds=predicted,
            converges=self._converges(copy, nearer, predicted, time_left),
        )

    def _nearer(self) -> float | None:
        """By how many bytes per second what is left shrinks. In the first pass from end to end of what was seen;
        later from the least of one window to the least of the next, since it goes up and down."""
        first, last = self._samples[0], self._samples[-1]
        if self._first_pass:
            return (first.left - last.left) / (last.at - first.at)
        # Looks are not made at the very instant.
        if last.at - first.at < 1.8 * self._evidence:
            return None
        middle = last.at - self._evidence
        before = min((s.left for s in self._samples if s.at <= middle), default=first.left)
        after = min(s.left for s in self._samples if s.at > middle)
        return (before - after) / self._evidence

    def _converges(
        self, copy: float, nearer: float | None, predicted: float | None, time_left: float | None
    ) -> bool | None:
        # What is not copied at all hangs: that it may end is no matter of what the guest writes.
        if self._first_pass or nearer is None or copy <= 0:
            self._doubted = None
            return None
        now = self._samples[-1].at
        if predicted is not None and (time_left is None or predicted <= time_left):
            self._doubted = None
            return True
        if self._doubted is None:
            self._doubted = now
        return False if now - self._doubted >= self._evidence * _STANDS else None
