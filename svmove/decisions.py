"""What a person may decide of a move that is held, and what that means for the files."""

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """Out of HELD."""

    FORWARD = "forward"
    BACK = "back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a disk and its files when a held move leaves in some direction. Paths."""

    target: str
    keeps: tuple[str, ...]
    loses: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A way out of HELD, for a person to say yes to."""

    move: str
    domain: str
    way: Way
    seen: str
    fates: tuple[Fate, ...]
