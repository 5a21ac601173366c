"""All that is wrong with some layers, at once: in each of them, in what they make together, and between their keys."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svmove.layers import shapes
from svmove.layers.fault import Fault
from svmove.layers.positions import Path
from svmove.layers.stack import Layer, merge, origin
from svmove.layers.wrong import Wrong, dotted, wrong
from svmove.objections import Objection


def judge(layers: Sequence[Layer], table: Any) -> tuple[Any, tuple[Fault, ...]]:
    """The `table` that they make, the lowest first; or None, and what is wrong, by layer and line."""
    made, found = _look(layers, table)
    if not found:
        return made, ()
    order = {layer.name: number for number, layer in enumerate(layers)}
    told = [
        Fault(
            layer=layer.name,
            line=layer.line(one.path),
            key=dotted(one.path) or None,
            text=one.text,
            remedy=one.remedy,
        )
        for layer, one in found
    ]
    return None, tuple(sorted(told, key=lambda fault: (order[fault.layer], fault.line or 0)))


def _look(layers: Sequence[Layer], table: Any) -> tuple[Any, list[tuple[Layer, Wrong]]]:
    # Of each by itself first: a mistake is told though a higher layer hides it.
    found = [(layer, one) for layer in layers for one in wrong(layer.document, table, whole=False)[1]]
    merged, told = merge(layers), {one.path for _, one in found}
    pruned = set[Path]()
    made, left = wrong(merged, table, whole=True)
    while left:
        new = [one for one in left if one.path not in told]
        found += [(origin(layers, one.path) or _around(layers, one.path), one) for one in new]
        told |= {one.path for one in left}
        if told == pruned:
            return None, found
        for path in told - pruned:
            _prune(merged, path)
        pruned = set(told)
        made, left = wrong(merged, table, whole=True)
    for one in _objections(made, ()):
        # With the default in place of what is wrong it would say nothing of what was meant.
        if not any(_touches(path, other) for path in one.paths for other in told):
            found.append(_placed(layers, one))
    return made, found


def _prune(document: dict[str, Any], path: Path) -> None:
    """Takes out what is wrong, so that the rest can be looked at: of a list all, and the table that misses a key."""
    in_list = next((n for n, part in enumerate(path) if isinstance(part, int)), None)
    for way in (path[:in_list], path[:-1]) if in_list is None else (path[:in_list],):
        table: Any = document
        for part in way[:-1]:
            table = table.get(part) if isinstance(table, dict) else None
        if way and isinstance(table, dict) and way[-1] in table:
            del table[way[-1]]
            return


def _around(layers: Sequence[Layer], path: Path) -> Layer:
    """Of a key that is missing: who has the table around it."""
    found = (origin(layers, path[:n]) for n in range(len(path) - 1, -1, -1))
    return next(layer for layer in found if layer is not None)


def _touches(path: Path, other: Path) -> bool:
    return path[: len(other)] == other or other[: len(path)] == path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objected:
    paths: tuple[Path, ...]
    objection: Objection


def _objections(value: Any, path: Path) -> Iterator[_Objected]:
    """Of this table, and of those in it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for one in value.objections() if hasattr(value, "objections") else ():
            ways = ((key,) if isinstance(key, str) else key for key in one.keys)
            yield _Objected(paths=tuple((*path, *way) for way in ways), objection=one)
        for key, (field, _) in shapes.fields(type(value)).items():
            yield from _objections(getattr(value, field.name), (*path, key))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _objections(one, (*path, key))
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _objections(one, (*path, number))


def _placed(layers: Sequence[Layer], found: _Objected) -> tuple[Layer, Wrong]:
    """At the first of the keys that somebody has written; with the places of the others."""
    written = {path: layer for path in found.paths if (layer := origin(layers, path)) is not None}
    at = next(iter(written), found.paths[0])
    text = found.objection.text if at == found.paths[0] else f"{dotted(found.paths[0])} {found.objection.text}"
    places = [f"{dotted(path)}: {_place(written.get(path), path)}" for path in found.paths if path != at]
    if places:
        text += f" ({', '.join(places)})"
    return written.get(at) or _around(layers, at), Wrong(path=at, text=text, remedy=found.objection.remedy)


def _place(layer: Layer | None, path: Path) -> str:
    if layer is None:
        return "by default"
    line = layer.line(path)
    return layer.name if line is None else f"{layer.name}:{line}"
