"""Which disks belong together, which apart, which stay, and where they may go: `[affinity]` of the policy.

A rule names what it is about by any of three: guests, disks, metadata. What one of them matches is meant.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

Tags = Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a rule is about. Names are globs: ``db-*``, ``web/vd[bc]``, ``tier=gold*``."""

    name: str = ""  # what the rule is called where it is given as a reason
    guests: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()  # GUEST/TARGET
    metadata: tuple[str, ...] = ()  # KEY=VALUE, of an element or attribute in the domain's <metadata>

    def __post_init__(self) -> None:
        if not (self.guests or self.disks or self.metadata):
            raise ValueError("a rule names guests, disks or metadata")
        if wrong := [text for text in self.disks if "/" not in text]:
            raise ValueError(f"{wrong[0]!r} is no GUEST/TARGET")
        if wrong := [text for text in self.metadata if "=" not in text]:
            raise ValueError(f"{wrong[0]!r} is no KEY=VALUE")

    @property
    def title(self) -> str:
        return self.name or ", ".join((*self.guests, *self.disks, *self.metadata))

    def has_guest(self, guest: str, tags: Tags) -> bool:
        """Whether it is about the guest as a whole."""
        if _any(self.guests, guest):
            return True
        wanted = (text.partition("=") for text in self.metadata)
        return any(_carries(tags, key, value) for key, _, value in wanted)

    def has_disk(self, guest: str, target: str) -> bool:
        """Whether it is about this disk by its own name."""
        return any(
            fnmatchcase(target, disk) and fnmatchcase(guest, owner)
            for owner, _, disk in (text.rpartition("/") for text in self.disks)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Selection):
    """Of `together`: all of its disks in one pool. Of `apart`: no two of its guests, or of its `disks`, in one pool.

    With `each_guest` the rule holds within each guest alone: its disks in one pool, or each in another.
    """

    each_guest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin(Selection):
    """May be in these pools only (globs)."""

    pools: tuple[str, ...]

    def __post_init__(self) -> None:
        # Not super(): a slotted dataclass is another class than the one that super() remembers.
        Selection.__post_init__(self)
        if not self.pools:
            raise ValueError("a pin names pools")


@dataclass(frozen=True, slots=True, kw_only=True)
class AffinityPolicy:
    together: tuple[Group, ...] = ()
    apart: tuple[Group, ...] = ()
    exclude: tuple[Selection, ...] = ()  # neither evacuated nor balanced
    pin: tuple[Pin, ...] = ()
    closed: tuple[str, ...] = ()  # pools that take nothing new (globs)

    def is_closed(self, pool: str) -> bool:
        return _any(self.closed, pool)

    def concerns(self, guest: str, targets: Iterable[str], tags: Tags) -> bool:
        """Whether a rule says where a guest's disks may be."""
        named = list(targets)
        return any(
            rule.has_guest(guest, tags) or any(rule.has_disk(guest, target) for target in named)
            for rule in (*self.together, *self.apart, *self.pin)
        )


def pool_matches(pools: Iterable[str], pool: str) -> bool:
    return _any(pools, pool)


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _carries(tags: Tags, key: str, value: str) -> bool:
    return any((path == key or local_name(path) == key) and fnmatchcase(found, value) for path, found in tags)


def local_name(path: str) -> str:
    """``flavor`` of ``nova:instance/nova:flavor``, ``name`` of ``nova:instance/nova:flavor@name``."""
    last = path.rpartition("/")[2]
    return last.rpartition("@")[2] if "@" in last else last.rpartition(":")[2]
