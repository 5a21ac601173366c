"""A document against the shapes of the policy: pydantic's errors, in words, with what to write instead."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from svmove.layers import shapes
from svmove.layers.positions import Path

# What pydantic asked for, by the type of its error.
_WANTED = {
    "int_type": ("a whole number", "3"),
    "string_type": ("a text", '"..."'),
    "bool_type": ("true or false", "true"),
    "tuple_type": ("a list", "[...]"),
    "dict_type": ("a table", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A `Fault` that does not know yet where it is written."""

    path: Path
    text: str
    remedy: str | None


def dotted(path: Path) -> str:
    """``windows.bandwidth[0].days``; a name with dots in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if plain else f'"{part}"')
    return text


def wrong(document: Mapping[str, Any], table: Any, *, whole: bool) -> tuple[Any, tuple[Wrong, ...]]:
    """What the document means (of one that is not `whole` a dict, else a `table`), or what is wrong with it."""
    try:
        return shapes.adapter(table, whole=whole).validate_python(document), ()
    except ValidationError as error:
        return None, tuple(_wrong(error, table))


def _wrong(error: ValidationError, table: Any) -> Iterator[Wrong]:
    for found in error.errors(include_url=False):
        path: Path = found["loc"]
        text, remedy = _said(found, path, table)
        yield Wrong(path=path, text=text, remedy=remedy)


def _said(found: Any, path: Path, table: Any) -> tuple[str, str | None]:
    kind: Any = table
    for part in path[:-1]:
        kind = shapes.inner(kind, part)
    value, cause = found["input"], found.get("ctx", {}).get("error")
    match found["type"]:
        case "extra_forbidden":
            return "there is no such key", nearest(str(path[-1]), shapes.keys(kind))
        case "missing":
            return "is missing", "docs/policy.md lists every key"
        case "enum":
            words = shapes.words(shapes.inner(kind, path[-1]))
            return f"{value!r} is none of {', '.join(words)}", nearest(str(value), words)
        case "greater_than_equal":
            return f"{value} is too little", f"write {found['ctx']['ge']} or more"
        case "value_error" if isinstance(cause, shapes.UnfitError):
            return cause.text, cause.remedy
        case "value_error":
            return str(cause), None
        case known if known in _WANTED:
            wanted, example = _WANTED[known]
            return f"{value!r} is not {wanted}", f"write {wanted}" + (f", such as {example}" if example else "")
        case _:
            return str(found["msg"]), None


def nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    if close := difflib.get_close_matches(word, known, n=1, cutoff=0.5):
        return f"did you mean {close[0]}?"
    return "write one of: " + ", ".join(known)
