"""Windows: at which times of the day and days of the week something holds. Pure; the time is handed in.

A window is meant by the clock on the wall of its zone, and so follows it when that is changed. A day is the one on
which it begins: ``fri 22:00 to 06:00`` ends on Saturday. Times that come twice are all in it; of those that never come
nothing is.

Instants are Unix times.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from svmove.errors import UsageError
from svmove.objections import Objection

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)
# A window comes back after a week, or two when the clock jumped over it.
_AHEAD = 15
_WEEK = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """An instant, and by whose clock it was meant."""

    at: float
    zone: str

    @property
    def local(self) -> datetime:
        return datetime.fromtimestamp(self.at, ZoneInfo(self.zone))

    def show(self, now: float) -> str:
        """``22:00 (Europe/Berlin)``; on another day with its date, with seconds where there are any."""
        local, today = self.local, datetime.fromtimestamp(now, ZoneInfo(self.zone)).date()
        day = "" if local.date() == today else f"{local:%Y-%m-%d} "
        return f"{day}{local:%H:%M:%S} ({self.zone})" if local.second else f"{day}{local:%H:%M} ({self.zone})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    days: tuple[str, ...] = field(default=(), metadata={"unit": "days"})  # none: every day
    from_: str = field(metadata={"unit": "time"})
    to: str = field(metadata={"unit": "time"})
    zone: str = field(metadata={"unit": "zone"})

    def objections(self) -> Iterator[Objection]:
        if parse_time(self.from_) == parse_time(self.to):
            yield Objection(
                keys=("to", "from"),
                text=f"the window ends when it begins, at {self.to}",
                remedy='of a whole day write from = "00:00" and to = "24:00"',
            )

    def openings(self, now: float, days: int) -> Iterator[tuple[float, float]]:
        """From when to when it is open: those that begin on these days from yesterday on, in order."""
        first = datetime.fromtimestamp(now, ZoneInfo(self.zone)).date() - timedelta(days=1)
        for number in range(days):
            if (span := _span(self, first + timedelta(days=number))) is not None:
                yield span

    def is_open(self, now: float) -> bool:
        return any(begin <= now < end for begin, end in self.openings(now, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthWindow(Window):
    rate: int | None = field(metadata={"unit": "rate"})  # bytes/s of a whole move; None: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoverWindow(Window):
    """The guest is switched only in one of these, if there is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    bandwidth: tuple[BandwidthWindow, ...] = ()
    cutover: tuple[CutoverWindow, ...] = ()

    def objections(self) -> Iterator[Objection]:
        yield from _twice("bandwidth", self.bandwidth)
        yield from _twice("cutover", self.cutover)

    def rate(self, now: float, otherwise: int | None) -> int | None:
        """The limit in force: the least of the windows that are open, or else `otherwise`."""
        rates = [window.rate for window in self.bandwidth if window.is_open(now)]
        return min((rate for rate in rates if rate is not None), default=None) if rates else otherwise

    def rises(self, now: float, otherwise: int | None) -> bool:
        """Whether more is let through at some time of the next week than now."""
        here, at = self.rate(now, otherwise), self.next_change(now) if self.bandwidth else None
        while here is not None and at is not None and at < now + _WEEK:
            there = self.rate(at, otherwise)
            if there is None or there > here:
                return True
            at = self.next_change(at)
        return False

    def cutover_allowed(self, now: float) -> bool:
        return not self.cutover or any(window.is_open(now) for window in self.cutover)

    def next_cutover(self, now: float) -> Moment | None:
        """The first instant from `now` on at which it is allowed. None: `now`, since there are no windows."""
        opens = [
            Moment(at=max(begin, now), zone=window.zone)
            for window in self.cutover
            for begin, end in window.openings(now, _AHEAD)
            if end > now
        ]
        return min(opens, key=lambda moment: moment.at, default=None)

    def opens(self, now: float, at: Moment | None) -> Moment | None:
        """When a cutover that is not to be before `at` is allowed. None: now."""
        earliest = at if at is not None and at.at > now else None
        start = earliest.at if earliest else now
        return earliest if self.cutover_allowed(start) else self.next_cutover(start)

    def next_change(self, now: float) -> float | None:
        """The first instant after `now` at which a window opens or closes. Until then all stays as it is."""
        windows: Iterable[Window] = chain(self.bandwidth, self.cutover)
        edges = (edge for window in windows for span in window.openings(now, _AHEAD) for edge in span)
        return min((edge for edge in edges if edge > now), default=None)


ANY_TIME = Windows()


def narrowed(windows: Windows, bandwidth: int | None) -> Windows:
    """With a limit that was asked for, in bytes/s: no window lets more through."""
    if bandwidth is None:
        return windows
    narrow = (
        replace(window, rate=bandwidth if window.rate is None else min(window.rate, bandwidth))
        for window in windows.bandwidth
    )
    return replace(windows, bandwidth=tuple(narrow))


def parse_time(text: str) -> int:
    """Seconds since midnight of ``08:00``, ``08:00:30``, ``24:00``. Raises UsageError."""
    if (found := _TIME.fullmatch(text)) is not None:
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        if (hours < 24 or (hours, minutes, seconds) == (24, 0, 0)) and minutes < 60 and seconds < 60:
            return hours * 3600 + minutes * 60 + seconds
    raise UsageError(f"not a time of the day: {text!r}", remedy="write hours and minutes, such as 08:00")


def parse_days(text: str) -> frozenset[int]:
    """Of ``mon-fri``, ``sat``, ``fri-mon``; Monday is 0. Raises UsageError."""
    first, dash, last = text.partition("-")
    if first in _DAYS and (last in _DAYS if dash else True):
        begin = _DAYS.index(first)
        length = (_DAYS.index(last or first) - begin) % 7
        return frozenset((begin + number) % 7 for number in range(length + 1))
    raise UsageError(f"no days: {text!r}", remedy="write mon-fri, or one of: " + ", ".join(_DAYS))


def parse_zone(text: str) -> str:
    """Raises UsageError."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        import difflib

        close = difflib.get_close_matches(text, available_timezones(), n=1, cutoff=0.5)
        remedy = f"did you mean {close[0]}?" if close else "write a name such as Europe/Berlin, or UTC"
        raise UsageError(f"no time zone {text!r}", remedy=remedy) from None
    return text


def parse_moment(text: str, now: float, zone: str) -> Moment:
    """``22:00``, the next one; ``2026-11-26 22:00``; with an offset, or a zone after it, or else of `zone`.

    Raises UsageError: of no such form, or over.
    """
    said, _, named = text.strip().rpartition(" ")
    if said and named[:1].isalpha():
        zone = parse_zone(named)
    else:
        said = text.strip()
    if _TIME.fullmatch(said):
        return _next(parse_time(said), now, zone)
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise UsageError(
            f"not a time: {text!r}", remedy='write 22:00, 2026-11-26T22:00, or "22:00 Europe/Berlin"'
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone))
    if at.timestamp() < now:
        raise UsageError(f"{text} is over", remedy="write a time that comes")
    return Moment(at=at.timestamp(), zone=zone)


def _next(seconds: int, now: float, zone: str) -> Moment:
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    comes = (_instant(today + timedelta(days=number), seconds, zone, last=False) for number in range(3))
    return Moment(at=next(at for at in comes if at >= now), zone=zone)


def _twice(name: str, windows: tuple[Window, ...]) -> Iterator[Objection]:
    seen: dict[tuple[object, ...], int] = {}
    for number, window in enumerate(windows):
        days = frozenset(chain.from_iterable(map(parse_days, window.days or _DAYS)))
        what = (days, parse_time(window.from_), parse_time(window.to), window.zone)
        if (first := seen.setdefault(what, number)) != number:
            yield Objection(
                keys=((name, number, "from"), (name, first, "from")),
                text="this window is there twice",
                remedy="leave one of them out",
            )


@lru_cache(maxsize=1024)
def _span(window: Window, day: date) -> tuple[float, float] | None:
    """Of the window that begins on that day; None when none does, or the clock jumps over it."""
    days = set(chain.from_iterable(map(parse_days, window.days or _DAYS)))
    begins, ends = parse_time(window.from_), parse_time(window.to)
    if day.weekday() not in days:
        return None
    begin = _instant(day, begins, window.zone, last=False)
    end = _instant(day + timedelta(days=ends <= begins), ends, window.zone, last=True)
    return (begin, end) if begin < end else None


def _instant(day: date, seconds: int, zone: str, *, last: bool) -> float:
    """When the clock shows that: of two times the first or the `last`; of none, when it jumps over it."""
    naive = datetime.combine(day, time()) + timedelta(seconds=seconds)
    local = naive.replace(tzinfo=ZoneInfo(zone))
    early, late = sorted(local.replace(fold=fold).timestamp() for fold in (0, 1))
    if early == late:
        return early
    if datetime.fromtimestamp(early, local.tzinfo).replace(tzinfo=None) == naive:
        return late if last else early
    low, high = int(early) - 1, int(late)  # the jump lies in between
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _shows(middle, zone) > naive else (middle, high)
    return float(high)


def _shows(at: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
