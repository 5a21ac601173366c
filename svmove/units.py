"""Sizes, rates and durations, as people write and read them.

Inside the program a size is an int of bytes, a rate an int of bytes per second, a duration a float of
seconds. A bare number is refused, because nobody at 2 a.m. remembers whether it meant bytes or MiB: virsh
takes MiB/s where QEMU takes bytes/s.
"""

import re
from decimal import Decimal

from svmove.errors import UsageError

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30
TiB = 1 << 40

# One letter is binary, as in qemu-img and virsh; "MB" is decimal, as on the label of a drive.
_SIZES = {"B": Decimal(1)} | {
    unit: Decimal(factor)
    for power, letter in enumerate("KMGTP", start=1)
    for unit, factor in (
        (letter, 1024**power),
        (f"{letter}IB", 1024**power),
        (f"{letter}B", 1000**power),
    )
}
_DURATIONS = {
    "MS": Decimal("0.001"),
    "S": Decimal(1),
    "SEC": Decimal(1),
    "M": Decimal(60),
    "MIN": Decimal(60),
    "H": Decimal(3600),
    "D": Decimal(86400),
}
_QUANTITY = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)\s*", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of ``200MiB``, ``1.5G``, ``4096B``, ``20 GB``.

    Raises:
        UsageError: no unit, an unknown unit, not a number.
    """
    return int(_quantity(text, _SIZES, "size", "20GiB, 512M, 4096B"))


def parse_rate(text: str) -> int:
    """Bytes per second of ``200MiB/s``; at least 1.

    Raises:
        UsageError: as `parse_size`, or without ``/s``, or zero.
    """
    size, slash, per = text.rpartition("/")
    if not slash or per.strip().lower() != "s":
        raise UsageError(f"not a rate: {text!r}", remedy="write bytes per second, such as 200MiB/s or 1.5G/s")
    rate = int(_quantity(size, _SIZES, "rate", "200MiB/s"))
    if rate < 1:
        raise UsageError(f"not a rate: {text!r}", remedy="leave the option out for no limit")
    return rate


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``2s``, ``1.5min``, ``7d``; more than 0.

    Raises:
        UsageError: no unit, an unknown unit, not a number, zero.
    """
    seconds = float(_quantity(text, _DURATIONS, "duration", "500ms, 2s, 5min, 7d"))
    if seconds <= 0:
        raise UsageError(f"not a duration: {text!r}", remedy="write more than zero, such as 500ms")
    return seconds


def _quantity(text: str, units: dict[str, Decimal], what: str, examples: str) -> Decimal:
    match = _QUANTITY.fullmatch(text)
    factor = units.get(match["unit"].upper()) if match else None
    if match is None or factor is None:
        raise UsageError(f"not a {what}: {text!r}", remedy=f"write a number and a unit: {examples}")
    return Decimal(match["number"]) * factor


def show_size(size: int) -> str:
    """``1.5 GiB``: at most three digits before the point, binary units."""
    if abs(size) < KiB:
        return f"{size} B"
    number = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        number /= 1024
        if abs(number) < 1024:
            return f"{number:.1f} {unit}"
    return f"{number / 1024:.1f} PiB"


def show_rate(rate: float) -> str:
    return f"{show_size(round(rate))}/s"


def show_duration(seconds: float) -> str:
    """``47 ms``, ``3.2 s``, ``4 min 5 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def write_size(size: int) -> str:
    """As `parse_size` reads it, to the byte: ``1536MiB``."""
    power = next((power for power in (4, 3, 2, 1) if size and size % 1024**power == 0), 0)
    return f"{size // 1024**power}{('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def write_rate(rate: int) -> str:
    return f"{write_size(rate)}/s"


def write_duration(seconds: float) -> str:
    """As `parse_duration` reads it, exactly: ``1500ms``, ``2h``."""
    exact = Decimal(str(seconds))
    for unit in ("d", "h", "min", "s"):
        number, rest = divmod(exact, _DURATIONS[unit.upper()])
        if number and not rest:
            return f"{int(number)}{unit}"
    return f"{(exact / _DURATIONS['MS']).normalize():f}ms"
