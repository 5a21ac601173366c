"""What a check may look at, and how it says no."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from svmove.model import Inventory
from svmove.moves import Finding, Level
from svmove.plan.choice import Choice
from svmove.plan.nvram import Variables
from svmove.policy import Policy
from svmove.requests import Method, Request, Verify
from svmove.volumes import DiskPlan
from svmove.windows import ANY_TIME, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    request: Request
    inventory: Inventory
    policy: Policy
    method: Method
    verify: Verify
    choices: tuple[Choice, ...]  # without those that are already there
    max_pause: float  # seconds
    media: tuple[DiskPlan, ...] = ()
    nvram: Variables = field(default_factory=Variables)
    deadline: float | None = None
    now: float = 0.0  # Unix time
    windows: Windows = ANY_TIME
    copy_seconds: float = 0.0
    granularities: Mapping[str, int | None] = field(default_factory=dict)  # by target; None: QEMU's choice
    no_snapshot: str | None = None  # why method `snapshot` is not possible
    overlays: Mapping[str, int] = field(default_factory=dict)  # by target: expected bytes, of method `snapshot`


def refuse(code: str, text: str, remedy: str | None, target: str | None = None) -> Finding:
    return Finding(level=Level.REFUSE, code=code, text=text, remedy=remedy, target=target)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A remedy: the names that were perhaps meant, or else all that there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "there are: " + ", ".join(names) if names else None
