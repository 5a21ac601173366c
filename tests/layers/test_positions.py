"""Where a key is written: checked against tomllib, which says what there is."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.layers.positions import Path, lines, nearest

TEXT = '''\
top = 1
quoted."a key".'b.c' = "x"  # "not" = here

[move] # [not.a.table]
max_pause = """
[no]
no = "1"
"""
inline = {one = 1, "two 2" = [1, {three = 3}]}

[[windows.bandwidth]]
days = [
    "mon",  # a comment
    "tue",
]
[windows.bandwidth.sub]
x = 1
[[windows.bandwidth]]
days = []

[pools.fast]
reserve = "1GiB"
[pools]
other.reserve = "1GiB"
'''


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("quoted", "a key", "b.c"), 2),
        (("quoted", "a key"), 2),
        (("move",), 4),
        (("move", "max_pause"), 5),
        (("move", "inline", "two 2", 1, "three"), 9),
        (("windows",), 11),
        (("windows", "bandwidth", 0, "days"), 12),
        (("windows", "bandwidth", 0, "days", 1), 14),
        (("windows", "bandwidth", 0, "sub", "x"), 17),
        (("windows", "bandwidth", 1), 18),
        (("windows", "bandwidth", 1, "days"), 19),
        (("pools", "fast", "reserve"), 22),
        (("pools", "other", "reserve"), 24),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_each_key_has_the_line_that_it_is_written_in(path: Path, line: int, ending: str) -> None:
    assert lines(TEXT.replace("\n", ending))[path] == line


def test_all_that_tomllib_finds_has_a_line_and_nothing_else() -> None:
    assert set(lines(TEXT)) == set(paths(tomllib.loads(TEXT)))


def test_what_is_not_written_has_the_line_of_the_table_around_it() -> None:
    found = lines(TEXT)
    assert nearest(found, ("windows", "bandwidth", 1, "rate")) == 18
    assert nearest(found, ("nowhere",)) is None
    assert lines("") == {}


names = st.one_of(st.sampled_from(["a", "b-1", "0"]), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
scalars = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
    st.just("""'''\n[x]\ny = 1'''"""),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def key(text: str) -> str:
    return text if text and all(c in "ab-10" for c in text) else quoted(text)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key(name)} = {written(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[ # [comment]\n" + "".join(f"{written(inner)},\n" for inner in value) + "]"
    if isinstance(value, str):
        return value if value.startswith("'''") else quoted(value)
    return str(value).lower()


@given(st.dictionaries(names, st.one_of(st.dictionaries(names, values), st.lists(st.dictionaries(names, values)))))
def test_no_document_has_a_key_without_a_line(tables: dict[str, Any]) -> None:
    text = ""
    for name, table in tables.items():
        for one in table if isinstance(table, list) else [table]:
            text += f"[[{key(name)}]]\n" if isinstance(table, list) else f"[{key(name)}]\n"
            text += "".join(f"{key(inner)} = {written(value)}\n" for inner, value in one.items())
    found = lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    for path, line in found.items():
        if isinstance(path[-1], str):
            assert key(path[-1]) in text.split("\n")[line - 1]
