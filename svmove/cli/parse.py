"""--disk and the quantities, from text."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from svmove.budgets import Priority
from svmove.errors import UsageError
from svmove.redact import redact
from svmove.requests import Allocation, Base, DiskRequest, Format, Method, Verify
from svmove.windows import Moment, parse_moment, parse_zone

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)

_FORM = "TARGET[=POOL][,format=FMT][,name=VOLUME]"


def disk(text: str) -> DiskRequest:
    """``vda``, ``vda=fast``, ``vda=fast,format=raw,name=web.img``; a comma in a name is written twice.

    Raises:
        UsageError: not of that form, an unknown key or format, a key twice.
    """
    first, *rest = _split(text)
    target, equals, pool = first.partition("=")
    if not target or (equals and not pool):
        raise UsageError(f"--disk {redact(text)!r}: no {'pool' if target else 'target'}", remedy=f"write {_FORM}")
    given: dict[str, str] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if key not in ("format", "name") or not equals or not value or key in given:
            raise UsageError(f"--disk {redact(text)!r}: {redact(part)!r} is not understood", remedy=f"write {_FORM}")
        given[key] = value
    return DiskRequest(
        target=target,
        pool=pool or None,
        format=format_(given["format"]) if "format" in given else None,
        name=given.get("name"),
    )


def names(text: str | None) -> tuple[str, ...]:
    """``a,b``."""
    return tuple(name for name in (text or "").split(",") if name)


def format_(text: str) -> Format:
    return _one_of(Format, "format", text)


def verify(text: str) -> Verify:
    return _one_of(Verify, "verification", text)


def method(text: str) -> Method:
    return _one_of(Method, "method", text)


def base(text: str) -> Base:
    return _one_of(Base, "way with a base", text)


def allocation(text: str) -> Allocation:
    return _one_of(Allocation, "allocation", text)


def priority(text: str) -> Priority:
    return _one_of(Priority, "priority", text)


def _one_of(kind: type[Word], what: str, text: str) -> Word:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"no {what} {text!r}", remedy="write one of: " + ", ".join(kind)) from None


def moment(text: str) -> Moment:
    """Of --at and --cutover, by this host's clock unless it names a zone. Raises UsageError."""
    return parse_moment(text, time.time(), local_zone())


def local_zone() -> str:
    """The host's, by its name: an offset would be wrong on the other side of a change of the clock."""
    localtime = str(Path("/etc/localtime").resolve())
    for name in (os.environ.get("TZ", "").removeprefix(":"), localtime.partition("/zoneinfo/")[2]):
        with suppress(UsageError):
            if name:
                return parse_zone(name)
    return "UTC"


def optional(parse: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else parse(text)


def _split(text: str) -> list[str]:
    """At single commas; a doubled one stands for itself, as in QEMU's options."""
    return [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]
