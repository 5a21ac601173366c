"""Sizes, rates and durations."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.errors import UsageError
from svmove.units import (
    GiB,
    KiB,
    MiB,
    TiB,
    parse_duration,
    parse_rate,
    parse_size,
    show_duration,
    show_rate,
    show_size,
    write_duration,
    write_rate,
    write_size,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096B", 4096),
        ("4096b", 4096),
        ("0B", 0),
        ("1K", KiB),
        ("1k", KiB),
        ("1KiB", KiB),
        ("1KB", 1000),
        ("20 GB", 20 * 1000**3),
        ("20GiB", 20 * GiB),
        ("1.5G", 3 * GiB // 2),
        (" 2 TiB ", 2 * TiB),
        ("1P", 1024 * TiB),
        ("0.1K", 102),
        ("9007199254740993B", 9007199254740993),  # 2**53 + 1: a float would round it
    ],
)
def test_a_size_is_read(text: str, expected: int) -> None:
    assert expected == parse_size(text)


@pytest.mark.parametrize(
    "text",
    ["", "5", "5.", ".5M", "M", "-1M", "+1M", "1e3M", "5 X", "5MM", "5M/s", "1,5G", "٣M", "5\nM5", "0x10B", "5 M B"],
)
def test_what_is_no_size_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert repr(text) in caught.value.text
    assert caught.value.remedy is not None


@pytest.mark.parametrize("parse", [parse_size, parse_rate, parse_duration])
def test_a_bare_number_is_refused(parse: type) -> None:
    with pytest.raises(UsageError):
        parse("200")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200MiB/s", 200 * MiB), ("1B/s", 1), ("1.5G/S", 3 * GiB // 2), ("10MB/s", 10_000_000), ("1M / s", MiB)],
)
def test_a_rate_is_read(text: str, expected: int) -> None:
    assert expected == parse_rate(text)


@pytest.mark.parametrize("text", ["200MiB", "200/s", "200MiB/m", "/s", "0B/s", "0.4B/s", "200MiB/s/s", "s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rate(text)
    assert caught.value.remedy is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("2sec", 2.0),
        ("1.5min", 90.0),
        ("1m", 60.0),
        ("2H", 7200.0),
        ("7d", 604800.0),
        ("1ms", 0.001),
    ],
)
def test_a_duration_is_read(text: str, expected: float) -> None:
    assert expected == parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0ms", "5", "5x", "-1s", "soon", ""])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert caught.value.remedy is not None


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * MiB, "1.5 GiB"),
        (1024 * TiB, "1.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_a_size_is_shown(size: int, expected: str) -> None:
    assert expected == show_size(size)


def test_a_rate_is_shown_per_second() -> None:
    assert show_rate(1.5 * MiB) == "1.5 MiB/s"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 ms"),
        (0.047, "47 ms"),
        (1.0, "1.0 s"),
        (3.24, "3.2 s"),
        (60.0, "1 min 0 s"),
        (245.4, "4 min 5 s"),
        (3600.0, "1 h 0 min"),
        (7800.0, "2 h 10 min"),
    ],
)
def test_a_duration_is_shown(seconds: float, expected: str) -> None:
    assert expected == show_duration(seconds)


@given(st.integers(min_value=0, max_value=2**60))
def test_bytes_go_there_and_back(size: int) -> None:
    assert size == parse_size(f"{size}B")


@given(st.integers(min_value=0, max_value=2**60))
def test_a_shown_size_can_be_read_and_is_as_near_as_its_digits(size: int) -> None:
    read = parse_size(show_size(size))
    assert abs(read - size) <= max(0.05 * 1024 ** (max(size.bit_length() - 1, 0) // 10) + 1, 1)


@given(st.integers(min_value=1, max_value=2**50))
def test_a_shown_rate_can_be_read(rate: int) -> None:
    assert parse_rate(show_rate(rate)) == pytest.approx(rate, rel=0.06)


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    try:
        found: int | str = parse_size(text)
    except UsageError as error:
        found = error.text
    assert repr(text) in found if isinstance(found, str) else found >= 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0B"), (1000, "1000B"), (1536 * MiB, "1536MiB"), (3 * GiB, "3GiB"), (5 * KiB + 1, "5121B")],
)
def test_a_size_is_written_to_the_byte(size: int, expected: str) -> None:
    assert expected == write_size(size)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.25, "250ms"), (2.0, "2s"), (1.5, "1500ms"), (90.0, "90s"), (600.0, "10min"), (7200.0, "2h"), (0.0005, "0.5ms")],
)
def test_a_duration_is_written_as_people_do(seconds: float, expected: str) -> None:
    assert expected == write_duration(seconds)


@given(st.integers(1, 1 << 60), st.decimals("0.001", "1000000", places=4))
def test_what_is_written_reads_back_as_it_was(number: int, seconds: Decimal) -> None:
    assert parse_size(write_size(number)) == number
    assert parse_rate(write_rate(number)) == number
    assert parse_duration(write_duration(float(seconds))) == float(seconds)
