"""Layers put together: tables merge by key, lists and other values replace what lies below."""

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from svmove.layers.fault import Fault, PolicyError
from svmove.layers.positions import Path, lines, nearest

_AT_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    name: str  # a file, or an option such as "--max-pause"
    document: Mapping[str, Any]
    text: str | None = None  # of a file

    def line(self, path: Path) -> int | None:
        return None if self.text is None else nearest(lines(self.text), path)

    def has(self, path: Path) -> bool:
        """That very key."""
        value: Any = self.document
        for part in path:
            known = value if isinstance(value, Mapping) else range(len(value)) if isinstance(value, list) else ()
            if part not in known:
                return False
            value = value[part]
        return True


def read(paths: Iterable[File]) -> tuple[tuple[Layer, ...], tuple[Fault, ...]]:
    """Of files, the lowest first: those that are TOML, and what is wrong with the others."""
    found, wrong = list[Layer](), list[Fault]()
    for path in paths:
        try:
            found.append(_read(path))
        except PolicyError as error:
            wrong += error.faults
    return tuple(found), tuple(wrong)


def _read(path: File) -> Layer:
    try:
        text = path.read_text(encoding="utf-8")
        return Layer(name=str(path), document=tomllib.loads(text), text=text)
    except OSError as error:
        raise _unread(path, error.strerror or str(error), None, "check --policy and SVMOVE_POLICY") from error
    except UnicodeDecodeError as error:
        raise _unread(path, "not TOML: not UTF-8", None, "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        line = _AT_LINE.search(str(error))
        said = f"not TOML: {error}"
        raise _unread(path, said, int(line[1]) if line else None, 'a key is written as key = "value"') from error


def _unread(path: File, text: str, line: int | None, remedy: str) -> PolicyError:
    return PolicyError([Fault(layer=str(path), line=line, key=None, text=text, remedy=remedy)])


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        _lay_over(merged, layer.document)
    return merged


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = copy.deepcopy(value)


def origin(layers: Sequence[Layer], path: Path) -> Layer | None:
    """Whose word on a key counts: the highest that has it. None: the defaults."""
    return next((layer for layer in reversed(layers) if layer.has(path)), None)
