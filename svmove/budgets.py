"""What each pool may be asked for: `[pools.NAME]` of the policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

_STRICT: Mapping[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """None: as for every pool."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    # Left free in this pool, instead of space.reserve.
    reserve: int | None = field(default=None, metadata={"unit": "size"})
    # The capacities of all its volumes together may be at most so many times its own, instead of space.overcommit.
    overcommit: float | None = None

    def __post_init__(self) -> None:
        if self.overcommit is not None and self.overcommit <= 0:
            raise ValueError("overcommit: more than 0")
