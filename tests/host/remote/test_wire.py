"""Messages between svmove and its agent."""

import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.errors import HostError, HypervisorError, UnverifiedError
from svmove.host.remote import wire
from svmove.location import Secret
from svmove.model import CopyWay, Image, Process
from svmove.volumes import Taken

VALUES: list[Any] = [
    None,
    True,
    7,
    -1.5,
    "größe\n",
    b"\x00\xff",
    (),
    ((0, 4096), (8192, 1)),
    {"/a": 1, "/b": None},
    CopyWay.REFLINK,
    Process(pid=1, uid=2, gid=3),
    Secret(usage="x", uuid=None),
    Taken(size=5, blank=True),
    Image(format="qcow2", virtual_bytes=1, allocated_bytes=2, bitmaps=("a", "b")),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_arrives_as_it_was_sent(value: Any) -> None:
    found = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert (found, type(found)) == (value, type(value))


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.lists(of).map(tuple))


@given(_json)
def test_any_nested_value_arrives_as_it_was_sent(value: Any) -> None:
    assert wire.decode(json.loads(json.dumps(wire.encode(value)))) == value


def test_a_function_is_called_by_its_number() -> None:
    functions = [print]
    sent = wire.encode(print, functions.index)
    assert wire.decode(sent, lambda number: functions[number]) is print


@pytest.mark.parametrize(
    "hostile",
    [{"~": "Popen", "args": ["true"]}, {"~": "eval"}, {}, {"~": 7}, {"~": "Process", "named": {"pid": 1}}],
    ids=str,
)
def test_what_is_none_of_the_types_that_are_sent_is_not_made(hostile: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        wire.decode(hostile)


def test_what_can_not_be_sent_is_told() -> None:
    with pytest.raises(TypeError, match="object"):
        wire.encode(object())


@pytest.mark.parametrize("kind", [HostError, UnverifiedError, HypervisorError])
def test_an_error_arrives_with_its_remedy(kind: Any) -> None:
    found = wire.decode_error(json.loads(json.dumps(wire.encode_error(kind("no", remedy="try")))))
    assert (type(found), found.text, found.remedy) == (kind, "no", "try")


def test_an_error_of_no_known_kind_is_one_of_the_host() -> None:
    assert wire.decode_error(wire.encode_error(KeyError("x"))).text == "KeyError: 'x'"
    assert type(wire.decode_error({"kind": "SystemExit", "text": "x"})) is HostError


def test_a_stream_that_ends_in_a_message_has_ended() -> None:
    stream = io.BytesIO()
    wire.Writer(stream).send({"a": 1})
    whole = stream.getvalue()
    assert wire.receive(io.BytesIO(whole)) == {"a": 1}
    for length in range(len(whole)):
        assert wire.receive(io.BytesIO(whole[:length])) is None


@pytest.mark.parametrize("said", [struct.pack("!I", wire.LONGEST + 1), struct.pack("!I", 2) + b"[]", b"\0\0\0\1x"])
def test_what_is_no_message_is_refused(said: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        wire.receive(io.BytesIO(said))
