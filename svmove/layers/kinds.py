"""What is written as a text and means more: how it is read, how it is written, and its form for editors.

A field of the policy names its kind in its metadata: ``{"unit": "size"}``. Of a tuple each element is of that kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svmove.units import parse_duration, parse_rate, parse_size, write_duration, write_rate, write_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    parse: Callable[[str], Any]  # raises UsageError
    write: Callable[[Any], str]
    pattern: str  # for JSON schema; what it lets through `parse` may still refuse
    example: str
    missing: str = "is no text"  # of a value that is none, such as 2


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
}
