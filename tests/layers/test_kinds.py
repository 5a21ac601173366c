"""Quantities: what is written is read, and what editors let through as well."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.errors import UsageError
from svmove.layers.kinds import KINDS
from svmove.layers.schema import document
from svmove.policy import Policy

TEXTS = {name: re.compile(kind.pattern, re.ASCII) for name, kind in KINDS.items()}


def reads(name: str, text: str) -> bool:
    try:
        KINDS[name].parse(text)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("name", list(KINDS))
def test_the_example_is_one(name: str) -> None:
    assert TEXTS[name].fullmatch(KINDS[name].example)
    assert reads(name, KINDS[name].example)


@pytest.mark.parametrize("name", ["size", "rate", "duration"])
@given(data=st.data())
def test_what_an_editor_lets_through_is_read_unless_it_is_zero(name: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(TEXTS[name], fullmatch=True))
    assert reads(name, text) or not re.search("[1-9]", text) or "B" in text.upper()


@pytest.mark.parametrize("name", ["size", "rate", "duration"])
@given(
    text=st.one_of(
        st.text(),
        st.builds(
            "".join, st.lists(st.sampled_from(["1", "2.5", ".", " ", "M", "K", "i", "B", "/s", "ms", "min", "h"]))
        ),
    )
)
def test_what_is_read_an_editor_lets_through(name: str, text: str) -> None:
    assert TEXTS[name].fullmatch(text) or not reads(name, text)


def test_the_schema_has_every_key_with_its_default_and_no_others() -> None:
    schema = document()
    move = schema["$defs"]["MovePolicy"]
    assert move["additionalProperties"] is False
    assert move["properties"]["max_pause"] == {
        "type": "string",
        "pattern": KINDS["duration"].pattern,
        "examples": ["500ms"],
        "default": "2s",
    }
    assert {"const": "none"} in move["properties"]["bandwidth"]["anyOf"]
    assert schema["properties"].keys() == set(Policy.__dataclass_fields__)
    assert "null" not in str(schema)
