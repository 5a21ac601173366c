"""What is written as a text and means more: how it is read, how it is written, and its form for editors.

A field of the policy names its kind in its metadata: ``{"unit": "size"}``. Of a tuple each element is of that kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svmove.units import parse_duration, parse_rate, parse_size, write_duration, write_rate, write_size
from svmove.windows import parse_days, parse_time, parse_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    parse: Callable[[str], Any]  # raises UsageError
    write: Callable[[Any], str]
    pattern: str  # for JSON schema; what it lets through `parse` may still refuse
    example: str
    missing: str = "is no text"  # of a value that is none, such as 2


def _checked(parse: Callable[[str], Any]) -> Callable[[str], str]:
    def same(text: str) -> str:
        parse(text)
        return text

    return same


_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
_NUMBER, _SIZE = r"^\s*\d+(\.\d+)?\s*", r"([KMGTPkmgtp]([iI]?[bB])?|[bB])"

KINDS: Mapping[str, Kind] = {
    "size": Kind(
        parse=parse_size,
        write=write_size,
        pattern=f"{_NUMBER}{_SIZE}\\s*$",
        example="256MiB",
        missing="has no unit",
    ),
    "rate": Kind(
        parse=parse_rate,
        write=write_rate,
        pattern=f"{_NUMBER}{_SIZE}\\s*/\\s*[sS]\\s*$",
        example="200MiB/s",
        missing="has no unit",
    ),
    "duration": Kind(
        parse=parse_duration,
        write=write_duration,
        pattern=f"{_NUMBER}([mM][sS]|[sS]([eE][cC])?|[mM]([iI][nN])?|[hH]|[dD])\\s*$",
        example="500ms",
        missing="has no unit",
    ),
    # These stay as they are written: `svmove.windows` reads them.
    "time": Kind(
        parse=_checked(parse_time),
        write=str,
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?|24:00(:00)?)$",
        example="08:00",
    ),
    "days": Kind(
        parse=_checked(parse_days),
        write=str,
        pattern=f"^{_DAY}(-{_DAY})?$",
        example="mon-fri",
    ),
    "zone": Kind(
        parse=_checked(parse_zone),
        write=str,
        pattern=r"^[A-Za-z][A-Za-z0-9+_/-]*$",
        example="Europe/Berlin",
    ),
}
