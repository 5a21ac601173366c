"""What a table of the policy has against its own values, when each of them is good by itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """A table yields them from a method `objections`; the loader tells where the keys are written. That a `Policy` can
    be made all the same is for a program that knows why."""

    # From the table that objects: a key's name, or the way to it: ("bandwidth", 0, "from"). The first one is wrong.
    keys: tuple[str | tuple[str | int, ...], ...]
    text: str  # of the first key
    remedy: str
