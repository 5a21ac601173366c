"""The line of each key in a TOML document. tomllib tells of none, so tree-sitter's grammar reads the text once more."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

# Of a key: names, and the indices of arrays.
Path = tuple[str | int, ...]

_KEYS = ("bare_key", "quoted_key", "dotted_key")


@lru_cache(maxsize=8)
def lines(text: str) -> Mapping[Path, int]:
    """From 1, of every key, table and element, by its path; of a table without a header of its own, where it is named
    first. `text` must be TOML; of what the grammar does not understand there is nothing."""
    tree = Parser(Language(tree_sitter_toml.language())).parse(text.encode())
    reading = _Reading()
    for node in tree.root_node.named_children:
        if node.type == "pair":
            reading.pair(node, ())
        elif node.type in ("table", "table_array_element"):
            reading.table(node)
    return reading.found


def nearest(found: Mapping[Path, int], path: Path) -> int | None:
    """The line of that key, or of the innermost table around it that has one."""
    return next((found[path[:n]] for n in range(len(path), 0, -1) if path[:n] in found), None)


class _Reading:
    def __init__(self) -> None:
        self.found: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}  # of the arrays of tables, so far

    def table(self, node: Node) -> None:
        header = next(child for child in node.named_children if child.type in _KEYS)
        path: Path = ()
        names = _names(header)
        for number, name in enumerate(names):
            path = (*path, name)
            if number == len(names) - 1 and node.type == "table_array_element":
                self._note(path, header)
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:  # the header means its newest element
                path = (*path, self._lengths[path] - 1)
        self._note(path, header)
        for child in node.named_children:
            if child.type == "pair":
                self.pair(child, path)

    def pair(self, node: Node, path: Path) -> None:
        key, *_, value = (child for child in node.named_children if child.type != "comment")
        path = (*path, *_names(key))
        self._note(path, key)
        self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        if node.type == "array":
            elements = (child for child in node.named_children if child.type != "comment")
            for number, child in enumerate(elements):
                self._note((*path, number), child)
                self._value(child, (*path, number))
        elif node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self.pair(child, path)

    def _note(self, path: Path, node: Node) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], node.start_point.row + 1)


def _names(key: Node) -> list[str]:
    """Of a key as it is written: ``a."b c".d``. tomllib knows what quotes mean."""
    assert key.text is not None
    names = list[str]()
    inner: Any = tomllib.loads(f"{key.text.decode()} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return names
