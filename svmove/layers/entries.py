"""Every key of a policy as it is in force, and from where."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svmove.layers import shapes
from svmove.layers.positions import Path
from svmove.layers.stack import Layer, origin
from svmove.layers.wrong import dotted


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    key: str
    written: Any  # as a file would say it
    number: float | None  # of a size, rate or duration: bytes, bytes per second, seconds
    layer: Layer | None  # None: the default
    line: int | None


def entries(policy: Any, layers: Sequence[Layer]) -> tuple[Entry, ...]:
    return tuple(_entries(policy, (), None, layers))


def _entries(value: Any, path: Path, unit: str | None, layers: Sequence[Layer]) -> Iterator[Entry]:
    inside: list[tuple[str | int, Any, str | None]] = []
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [
            (key, getattr(value, field.name), field.metadata.get("unit"))
            for key, (field, _) in shapes.fields(type(value)).items()
        ]
    elif isinstance(value, Mapping):
        inside = [(key, one, unit) for key, one in value.items()]
    elif isinstance(value, tuple) and any(dataclasses.is_dataclass(one) for one in value):
        inside = [(number, one, unit) for number, one in enumerate(value)]
    for part, one, of in inside:
        yield from _entries(one, (*path, part), of, layers)
    if inside:
        return
    layer = origin(layers, path)
    yield Entry(
        key=dotted(path),
        written=shapes.written(value, unit),
        number=value if unit is not None and isinstance(value, int | float) else None,
        layer=layer,
        line=layer.line(path) if layer else None,
    )
