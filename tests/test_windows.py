"""Windows: by the clock on the wall, also when it is changed. The oracle looks at the wall, as a person would."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.errors import UsageError
from svmove.layers.judge import judge
from svmove.layers.stack import Layer
from svmove.policy import Policy
from svmove.units import MiB
from svmove.windows import (
    BandwidthWindow,
    CutoverWindow,
    Moment,
    Windows,
    narrowed,
    parse_days,
    parse_moment,
    parse_time,
    parse_zone,
)

BERLIN = "Europe/Berlin"
# Half an hour; twice; a whole day that was left out; none; the other half of the year.
ZONES = [BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC", "Asia/Kolkata", "America/Santiago"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def cutover(begin: str, end: str, *days: str, zone: str = BERLIN) -> CutoverWindow:
    return CutoverWindow(days=days, from_=begin, to=end, zone=zone)


times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
spans = st.lists(st.one_of(st.sampled_from(DAYS), st.builds("{}-{}".format, *[st.sampled_from(DAYS)] * 2)), max_size=3)
windows = st.builds(
    lambda days, begin, end, zone: cutover(begin, end, *days, zone=zone),
    spans,
    times,
    times | st.just("24:00"),
    st.sampled_from(ZONES),
).filter(lambda window: window.from_ != window.to)
# Near a change of the clock as often as not.
CHANGES = [
    at("2026-03-29T01:59", BERLIN),
    at("2026-10-25T02:30", BERLIN),
    at("2026-11-01T01:30", "America/New_York"),
    at("2026-04-05T01:45", "Australia/Lord_Howe"),
    at("2026-10-04T01:59", "Australia/Lord_Howe"),
    at("2011-12-29T12:00", "Pacific/Apia"),
    at("2026-09-05T23:30", "America/Santiago"),
]
instants = st.one_of(
    st.floats(0, 4e9),
    st.builds(lambda near, seconds: near + seconds, st.sampled_from(CHANGES), st.floats(-90_000, 90_000)),
).map(lambda seconds: float(round(seconds)))


def on_the_wall(window: CutoverWindow, now: float) -> bool:
    """Whether the clock shows a time of the window, and it is one of its days, or the day after."""
    shown = datetime.fromtimestamp(now, ZoneInfo(window.zone))
    seconds = shown.hour * 3600 + shown.minute * 60 + shown.second
    begin, end = parse_time(window.from_), parse_time(window.to)
    days = {day for text in window.days or ("mon-sun",) for day in parse_days(text)}
    today, yesterday = shown.weekday() in days, (shown - timedelta(days=1)).weekday() in days
    if end > begin:
        return today and begin <= seconds < end
    return (today and seconds >= begin) or (yesterday and seconds < end)


def changes_near(now: float, zone: str) -> bool:
    offsets = [datetime.fromtimestamp(now + h * 3600, ZoneInfo(zone)).utcoffset() for h in range(-48, 49, 6)]
    return len(set(offsets)) > 1


@given(windows, instants)
def test_a_window_is_open_when_the_clock_on_the_wall_says_so(window: CutoverWindow, now: float) -> None:
    if on_the_wall(window, now):
        assert window.is_open(now)
    elif window.is_open(now):  # in between two times that both are in it, because they came twice
        assert changes_near(now, window.zone)


@given(st.lists(windows, max_size=3).map(tuple), instants, st.data())
def test_until_the_next_change_all_stays_as_it_is(
    found: tuple[CutoverWindow, ...], now: float, data: st.DataObject
) -> None:
    all_ = Windows(cutover=found)
    change = all_.next_change(now)
    if change is None:
        assert found == ()
        return
    assert now < change
    later = now + data.draw(st.floats(0, 0.999)) * (change - now)
    assert all_.cutover_allowed(later) == all_.cutover_allowed(now)


@given(st.lists(windows, min_size=1, max_size=3).map(tuple), instants, st.data())
def test_the_next_cutover_is_the_first_that_is_allowed(
    found: tuple[CutoverWindow, ...], now: float, data: st.DataObject
) -> None:
    all_ = Windows(cutover=found)
    opens = all_.next_cutover(now)
    assert opens is not None
    assert opens.at >= now
    assert all_.cutover_allowed(opens.at)
    assert all_.cutover_allowed(now) == (opens.at == now)
    if opens.at > now:
        assert not all_.cutover_allowed(now + data.draw(st.floats(0, 0.999)) * (opens.at - now))


def opened(window: CutoverWindow, day: str) -> tuple[str, str]:
    """That window's opening on a day, as the clock shows it, with its offset."""
    zone = ZoneInfo(window.zone)
    spans = window.openings(at(f"{day}T00:00", window.zone) + 86400, 3)
    begin, end = next(span for span in spans if datetime.fromtimestamp(span[0], zone).date().isoformat() == day)
    show = [datetime.fromtimestamp(edge, zone).isoformat(timespec="minutes")[11:] for edge in (begin, end)]
    return show[0], show[1]


@pytest.mark.parametrize(
    ("begin", "end", "day", "expected"),
    [
        ("22:00", "06:00", "2026-03-28", ("22:00+01:00", "06:00+02:00")),  # seven hours
        ("22:00", "06:00", "2026-10-24", ("22:00+02:00", "06:00+01:00")),  # nine
        ("02:30", "04:00", "2026-03-29", ("03:00+02:00", "04:00+02:00")),  # 02:30 does not come
        ("01:00", "02:30", "2026-03-29", ("01:00+01:00", "03:00+02:00")),
        ("02:30", "04:00", "2026-10-25", ("02:30+02:00", "04:00+01:00")),  # it comes twice: from the first
        ("01:00", "02:30", "2026-10-25", ("01:00+02:00", "02:30+01:00")),  # to the second
        ("00:00", "24:00", "2026-11-25", ("00:00+01:00", "00:00+01:00")),
    ],
)
def test_a_window_follows_the_clock_when_it_is_changed(
    begin: str, end: str, day: str, expected: tuple[str, str]
) -> None:
    assert opened(cutover(begin, end), day) == expected


def test_a_window_that_the_clock_jumps_over_comes_the_next_day() -> None:
    found = Windows(cutover=(cutover("02:15", "02:45"),)).next_cutover(at("2026-03-29T00:00"))
    assert found == Moment(at=at("2026-03-30T02:15"), zone=BERLIN)


def test_a_weekend_from_friday_to_monday() -> None:
    night = Windows(cutover=(cutover("22:00", "06:00", "fri-sun"),))
    assert night.next_cutover(at("2026-11-25T12:00")) == Moment(at=at("2026-11-27T22:00"), zone=BERLIN)
    assert night.cutover_allowed(at("2026-11-30T05:59"))  # of Sunday's
    assert not night.cutover_allowed(at("2026-11-30T06:00"))


def rates(*given: tuple[str, str, int | None]) -> Windows:
    found = (BandwidthWindow(from_=begin, to=end, zone=BERLIN, rate=rate) for begin, end, rate in given)
    return Windows(bandwidth=tuple(found))


@pytest.mark.parametrize(
    ("time", "expected"),
    [("07:59", 200), ("08:00", 50), ("12:30", 20), ("17:59", 50), ("18:00", 200), ("23:00", None), ("01:00", None)],
)
def test_the_least_of_the_open_windows_is_the_limit(time: str, expected: int | None) -> None:
    found = rates(("08:00", "18:00", 50), ("12:00", "13:00", 20), ("22:00", "06:00", None))
    assert found.rate(at(f"2026-11-25T{time}"), 200) == expected


@pytest.mark.parametrize(
    ("time", "otherwise", "rises"),
    [("09:00", 200, True), ("19:00", 200, True), ("23:00", 200, False), ("09:00", None, True), ("19:00", None, False)],
)
def test_whether_more_is_let_through_later(time: str, otherwise: int | None, rises: bool) -> None:
    found = rates(("08:00", "18:00", 50), ("22:00", "06:00", None))
    assert found.rises(at(f"2026-11-25T{time}"), otherwise) == rises


def test_a_limit_at_all_times_does_not_rise() -> None:
    found = rates(("08:00", "18:00", 50), ("18:00", "08:00", 50))
    assert not found.rises(at("2026-11-25T09:00"), None)
    assert not Windows().rises(0, 50)


def test_a_limit_that_was_asked_for_is_none_that_a_window_lifts() -> None:
    found = narrowed(rates(("08:00", "18:00", 50), ("18:00", "22:00", 200), ("22:00", "06:00", None)), 100)
    assert [window.rate for window in found.bandwidth] == [50, 100, 100]
    assert narrowed(found, None) == found


def test_without_windows_all_is_allowed() -> None:
    assert Windows().cutover_allowed(0)
    assert (Windows().next_cutover(0), Windows().next_change(0), Windows().opens(0, None)) == (None, None, None)
    assert Windows().rate(0, 7) == 7


def test_not_before_a_time_and_in_a_window() -> None:
    night = Windows(cutover=(cutover("22:00", "06:00"),))
    noon, two = at("2026-11-25T12:00"), Moment(at=at("2026-11-26T02:00"), zone="UTC")
    assert night.opens(noon, None) == Moment(at=at("2026-11-25T22:00"), zone=BERLIN)
    assert night.opens(noon, two) == two
    assert night.opens(two.at, two) is None
    assert night.opens(noon, Moment(at=noon + 3600, zone="UTC")) == Moment(at=at("2026-11-25T22:00"), zone=BERLIN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00", "2026-11-25T22:00+01:00"),
        ("12:00", "2026-11-25T12:00+01:00"),
        ("11:59", "2026-11-26T11:59+01:00"),
        ("22:00 America/New_York", "2026-11-25T22:00-05:00"),
        ("2026-12-01T03:00", "2026-12-01T03:00+01:00"),
        ("2026-12-01 03:00", "2026-12-01T03:00+01:00"),
        ("2026-12-01 03:00 UTC", "2026-12-01T03:00+00:00"),
        ("2026-12-01T03:00+05:30", "2026-12-01T03:00+05:30"),
        ("2026-12-01T03:00Z", "2026-12-01T03:00+00:00"),
    ],
)
def test_a_moment_is_read(text: str, expected: str) -> None:
    found = parse_moment(text, at("2026-11-25T12:00"), BERLIN)
    assert found.at == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    "text", ["", "22", "soon", "25:00", "22:60", "22:00 Europe/Berlim", "2026-13-01", "2026-11-25T11:00"]
)
def test_what_is_no_moment_or_over_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, at("2026-11-25T12:00"), BERLIN)
    assert caught.value.remedy


def test_the_next_time_is_right_on_the_day_of_a_change() -> None:
    now = at("2026-03-28T23:00")
    assert parse_moment("02:30", now, BERLIN).at == at("2026-03-29T03:00")  # which does not come
    assert parse_moment("04:00", now, BERLIN).at - now == 4 * 3600


def test_a_moment_is_shown_by_its_clock_with_the_date_on_another_day() -> None:
    now = at("2026-11-25T12:00")
    assert Moment(at=at("2026-11-25T22:00"), zone=BERLIN).show(now) == "22:00 (Europe/Berlin)"
    assert Moment(at=at("2026-11-26T06:00:05"), zone=BERLIN).show(now) == "2026-11-26 06:00:05 (Europe/Berlin)"


@pytest.mark.parametrize("text", ["8:00", "24:01", "12:60", "12", "", "noon", "٠٨:00"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


@pytest.mark.parametrize("text", ["", "monday", "mon-", "-fri", "mon-fri-sun", "mon,tue"])
def test_what_are_no_days_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_days(text)


@pytest.mark.parametrize("text", ["", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Berlim", "Nowhere/At/All"])
def test_what_is_no_zone_is_refused_with_the_nearest(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_zone(text)
    assert caught.value.remedy


def test_days_go_round() -> None:
    assert parse_days("fri-mon") == {4, 5, 6, 0}
    assert parse_days("mon-sun") == set(range(7))


def test_a_policy_with_windows_that_make_no_sense_is_told_so() -> None:
    here = {"zone": BERLIN}
    document = {
        "windows": {
            "cutover": [
                {"from": "22:00", "to": "06:00", "days": ["mon-fri"], **here},
                {"from": "06:00", "to": "06:00", **here},
                {"from": "22:00", "to": "06:00", "days": ["mon-wed", "thu", "fri"], **here},
            ],
            "bandwidth": [{"from": "8", "to": "18:00", "zone": "Europe/Berlim", "days": ["monday"]}],
        }
    }
    _, wrong = judge([Layer(name="x", document=document)], Policy)
    assert {fault.key: (fault.text, fault.remedy) for fault in wrong} == {
        "windows.bandwidth[0].from": ("not a time of the day: '8'", "write hours and minutes, such as 08:00"),
        "windows.bandwidth[0].zone": ("no time zone 'Europe/Berlim'", "did you mean Europe/Berlin?"),
        "windows.bandwidth[0].days[0]": (
            "no days: 'monday'",
            "write mon-fri, or one of: mon, tue, wed, thu, fri, sat, sun",
        ),
        "windows.bandwidth[0].rate": ("is missing", "docs/policy.md lists every key"),
        "windows.cutover[1].to": (
            "the window ends when it begins, at 06:00 (windows.cutover[1].from: x)",
            'of a whole day write from = "00:00" and to = "24:00"',
        ),
        "windows.cutover[2].from": (
            "this window is there twice (windows.cutover[0].from: x)",
            "leave one of them out",
        ),
    }


def test_a_policy_with_windows_is_read() -> None:
    document = {
        "windows": {
            "bandwidth": [{"days": ["mon-fri"], "from": "08:00", "to": "18:00", "zone": BERLIN, "rate": "50MiB/s"}]
        }
    }
    made, _ = judge([Layer(name="x", document=document)], Policy)
    expected = BandwidthWindow(days=("mon-fri",), from_="08:00", to="18:00", zone=BERLIN, rate=50 * MiB)
    assert made.windows.bandwidth == (expected,)
    assert datetime.fromtimestamp(next(made.windows.bandwidth[0].openings(at("2026-11-25T12:00"), 2))[0], UTC).hour == 7
