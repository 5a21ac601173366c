"""Messages between svmove and its agent on another host: a length of four bytes, then JSON.

Runs on both sides, so nothing but the standard library and floor 0 is imported. What comes from the other side never
becomes code: only the types below are made of it.
"""

import base64
import json
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Protocol

from svmove.errors import HostError, HypervisorError, SilentStorageError, SvmoveError, UnverifiedError
from svmove.location import Secret
from svmove.model import CopyWay, Image, Process
from svmove.volumes import Taken

# What an agent says first: before it, whatever a login shell may print.
GREETING = b"svmove-agent-1\n"
# A map of a fragmented image of 1 TiB is some MiB of JSON. A longer message is none of ours.
LONGEST = 256 << 20
# Between two signs of life, and the silence after which the other side counts as gone (seconds).
PULSE = 5.0
SILENCE = 20.0

_LENGTH = struct.Struct("!I")
_TAG = "~"
_TYPES: Mapping[str, Callable[..., Any]] = {kind.__name__: kind for kind in (CopyWay, Image, Process, Secret, Taken)}
_ERRORS = {kind.__name__: kind for kind in (HostError, HypervisorError, SilentStorageError, UnverifiedError)}
Message = dict[str, Any]


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Stream(Protocol):
    def write(self, data: bytes, /) -> Any: ...
    def flush(self) -> Any: ...


class Writer:
    """Of whole messages, by any thread. Raises OSError."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, message: Message) -> None:
        body = json.dumps(message).encode()
        with self._lock:
            self._stream.write(_LENGTH.pack(len(body)) + body)
            self._stream.flush()


def receive(stream: _Reader) -> Message | None:
    """The next message; None at the end. Raises OSError, ValueError for what is no message."""
    head = _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes")
    body = _exactly(stream, length)
    if body is None:
        return None
    message = json.loads(body)
    if not isinstance(message, dict):
        raise TypeError("a message that is no object")
    return message


def _exactly(stream: _Reader, size: int) -> bytes | None:
    parts, left = [], size
    while left:
        part = stream.read(left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def encode(value: Any, name: Callable[[Callable[..., Any]], int] | None = None) -> Any:
    """`name` gives a function the number by which the other side calls it."""
    if isinstance(value, Enum):
        return {_TAG: type(value).__name__, "args": [value.value]}
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: encode(getattr(value, field.name), name) for field in fields(value)}
        return {_TAG: type(value).__name__, "named": held}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {_TAG: "mapping", "items": [[encode(k, name), encode(v, name)] for k, v in value.items()]}
    if isinstance(value, tuple | list | frozenset | set):
        return [encode(one, name) for one in value]
    if callable(value) and name is not None:
        return {_TAG: "function", "number": name(value)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} can't be sent")


def decode(value: Any, function: Callable[[int], Callable[..., Any]] | None = None) -> Any:
    """Sequences become tuples. `function` makes what calls one of the other side's. Raises ValueError, TypeError."""
    if isinstance(value, list):
        return tuple(decode(one, function) for one in value)
    if not isinstance(value, dict):
        return value
    match value.get(_TAG):
        case "bytes":
            return base64.b64decode(value["base64"])
        case "mapping":
            return {decode(k, function): decode(v, function) for k, v in value["items"]}
        case "function" if function is not None:
            return function(int(value["number"]))
        case str(kind) if kind in _TYPES:
            args = decode(value.get("args", []), function)
            return _TYPES[kind](*args, **{k: decode(v, function) for k, v in value.get("named", {}).items()})
    raise ValueError("a value of a type that is not known")


def encode_error(error: BaseException) -> Message:
    if isinstance(error, SvmoveError):
        kind = next((k.__name__ for k in type(error).__mro__ if k.__name__ in _ERRORS), HostError.__name__)
        return {"kind": kind, "text": error.text, "remedy": error.remedy}
    return {"kind": HostError.__name__, "text": f"{type(error).__name__}: {error}", "remedy": None}


def decode_error(told: Message) -> SvmoveError:
    text, remedy = str(told.get("text")), told.get("remedy")
    return _ERRORS.get(str(told.get("kind")), HostError)(text, remedy=None if remedy is None else str(remedy))
