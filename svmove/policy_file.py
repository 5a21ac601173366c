"""Reads a policy file (TOML) into a `Policy`. pydantic says what is wrong with it, by key."""

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from svmove.errors import UsageError
from svmove.policy import Policy
from svmove.units import parse_duration, parse_rate, parse_size

_PARSERS: dict[str, Callable[[str], float]] = {
    "size": parse_size,
    "rate": parse_rate,
    "duration": parse_duration,
}


def load_policy(path: Path) -> Policy:
    """The policy of one file; what it leaves out has its default.

    Raises:
        UsageError: unreadable, not TOML, an unknown key, a wrong type or unit. The text names file and key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"policy {path}: {error.strerror}", remedy="check --policy and SVMOVE_POLICY") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"policy {path}: not TOML: {error}") from error
    try:
        return TypeAdapter(Policy).validate_python(_quantities(Policy, document, ""))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"policy {path}: {key}: {first['msg']}", remedy="docs/policy.md lists every key") from error
    except UsageError as error:
        raise UsageError(f"policy {path}: {error.text}", remedy=error.remedy) from error


def _quantities(table: type[Any], values: Any, where: str) -> Any:
    """Turns "500ms" and its like into numbers, wherever the dataclass says that a field has a unit."""
    if not isinstance(values, dict):
        return values
    fields = {field.name: field for field in dataclasses.fields(table)}
    read = dict(values)
    for key, value in values.items():
        field = fields.get(key)
        if field is None:
            continue
        if dataclasses.is_dataclass(field.type) and isinstance(field.type, type):
            read[key] = _quantities(field.type, value, f"{where}{key}.")
        elif (inner := _named_tables(field.type)) is not None and isinstance(value, dict):
            read[key] = {name: _quantities(inner, one, f"{where}{key}.{name}.") for name, one in value.items()}
        elif (unit := field.metadata.get("unit")) is not None:
            if not isinstance(value, str):
                raise UsageError(
                    f"{where}{key}: {value!r} has no unit",
                    remedy=f'write a {unit} such as "{_EXAMPLES[unit]}"',
                )
            try:
                read[key] = _PARSERS[unit](value)
            except UsageError as error:
                raise UsageError(f"{where}{key}: {error.text}", remedy=error.remedy) from error
    return read


def _named_tables(kind: Any) -> type[Any] | None:
    """Of a table whose keys are names: what each of its tables is."""
    last = (None, *typing.get_args(kind))[-1]
    return (
        last
        if isinstance(last, type) and dataclasses.is_dataclass(last) and typing.get_origin(kind) is Mapping
        else None
    )


_EXAMPLES = {"size": "256MiB", "rate": "200MiB/s", "duration": "500ms"}
