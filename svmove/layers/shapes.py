"""What pydantic is to check, made from the policy's dataclasses: any nesting of tables, ``dict[str, X]``,
``tuple[X, ...]``, words, numbers, and kinds (`kinds`).

A key is a field's name; ``from_`` is written ``from``. A value that may be None may be written "none", so that a layer
can take back what one below it says.
"""

import dataclasses
import types
import typing
from collections import abc
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, NotRequired, Required

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, Strict, TypeAdapter, WithJsonSchema
from pydantic.functional_validators import AfterValidator
from typing_extensions import TypedDict

from svmove.errors import UsageError
from svmove.layers.kinds import KINDS, Kind

NONE = "none"
# Tables whose keys are not ours, such as the names of pools.
_TABLES = (dict, abc.Mapping)


class UnfitError(ValueError):
    """pydantic hands it through to whoever reads its errors."""

    def __init__(self, text: str, remedy: str | None) -> None:
        super().__init__(text)
        self.text = text
        self.remedy = remedy


def key(field: "dataclasses.Field[Any]") -> str:
    return field.name.rstrip("_")


@cache
def fields(table: Any) -> Mapping[str, "tuple[dataclasses.Field[Any], Any]"]:
    """By key: the field, and its type."""
    hints = typing.get_type_hints(table)
    return {key(field): (field, hints[field.name]) for field in dataclasses.fields(table)}


@cache
def adapter(table: Any, *, whole: bool) -> TypeAdapter[Any]:
    """`whole`: what has no default must be there, and the result is a `table`. Else one layer's part, as a dict."""
    return TypeAdapter(_shape(table, whole))


def inner(kind: Any, part: str | int) -> Any:
    """The type of what lies at that key or index, or None."""
    kind, _ = _optional(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        found = fields(kind).get(str(part))
        return found[1] if found else None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) in _TABLES and isinstance(part, str):
        return arguments[1]
    return arguments[0] if typing.get_origin(kind) is tuple and isinstance(part, int) else None


def keys(kind: Any) -> tuple[str, ...]:
    """Of a table of ours."""
    kind, _ = _optional(kind)
    return tuple(fields(kind)) if dataclasses.is_dataclass(kind) and isinstance(kind, type) else ()


def words(kind: Any) -> tuple[str, ...]:
    kind, _ = _optional(kind)
    return tuple(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


def _optional(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        (only,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
        return only, True
    return kind, False


def _shape(kind: Any, whole: bool, unit: str | None = None, least: int | None = None) -> Any:
    kind, optional = _optional(kind)
    if optional:
        return _or_none(_shape(kind, whole, unit, least))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _table(kind, whole)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _TABLES:
        return dict[str, _shape(arguments[1], whole, unit, least)]  # type: ignore[misc]
    if origin is tuple:
        return tuple[_shape(arguments[0], whole, unit, least), ...]  # type: ignore[misc]
    if unit is not None:
        return _quantity(KINDS[unit])
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    return Annotated[kind, Strict(), Field(ge=least)] if least is not None else Annotated[kind, Strict()]


def _table(table: Any, whole: bool) -> Any:
    keys: dict[str, Any] = {}
    for name, (field, kind) in fields(table).items():
        unit, least = field.metadata.get("unit"), field.metadata.get("least")
        shape = _shape(kind, whole, unit, least)
        if field.default is not dataclasses.MISSING:
            extra: Any = {"default": written(field.default, unit)}
            shape = Annotated[shape, Field(json_schema_extra=extra)]
        bare = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        keys[name] = (Required if whole and bare else NotRequired)[shape]
    make: Any = TypedDict  # mypy wants to know the keys
    shaped = make(table.__name__, keys)
    shaped.__pydantic_config__ = ConfigDict(extra="forbid")
    if not whole:
        return shaped

    def made(given: Mapping[str, Any]) -> Any:
        return table(**{fields(table)[name][0].name: value for name, value in given.items()})

    return Annotated[shaped, AfterValidator(made)]


def _or_none(shape: Any) -> Any:
    def absent(value: Any) -> Any:
        return None if value == NONE else value

    return Annotated[shape | None, BeforeValidator(absent)]


def _quantity(kind: Kind) -> Any:
    remedy = f'write it as in "{kind.example}"'

    def parsed(value: Any) -> Any:
        if not isinstance(value, str):
            raise UnfitError(f"{value!r} {kind.missing}", remedy)
        try:
            return kind.parse(value)
        except UsageError as error:
            raise UnfitError(error.text, error.remedy) from error

    schema = {"type": "string", "pattern": kind.pattern, "examples": [kind.example]}
    return Annotated[Any, PlainValidator(parsed), WithJsonSchema(schema)]


def written(value: Any, unit: str | None) -> Any:
    """As TOML would have it: of a quantity its text, of a tuple a list, of a table a dict, of None "none"."""
    if value is None:
        return NONE
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: written(getattr(value, field.name), field.metadata.get("unit"))
            for name, (field, _) in fields(type(value)).items()
        }
    if isinstance(value, Mapping):
        return {name: written(one, unit) for name, one in value.items()}
    if isinstance(value, tuple):
        return [written(one, unit) for one in value]
    if unit is not None:
        return KINDS[unit].write(value)
    return str(value) if isinstance(value, StrEnum) else value
