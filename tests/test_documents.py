"""What a user may meet, and the contract promises, is in the documents: finding codes, error codes, policy keys."""

import ast
import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import svmove
from svmove.layers.shapes import fields
from svmove.policy import Policy
from svmove.policy_file import load_policy

ROOT = Path(svmove.__file__).parent.parent
DOCS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("findings", "json", "placement", "policy")}
CALLS = [
    node
    for path in sorted(Path(svmove.__file__).parent.rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call)
]


def quoted(*documents: str) -> set[str]:
    return {word for name in documents for word in re.findall(r"`([^`\s]+)`", DOCS[name])}


def words(node: ast.expr) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def given(name: str, *functions: str, position: int | None = None) -> set[str]:
    """The words that are written where calls of these functions say `name`."""
    found = set[str]()
    for call in CALLS:
        if functions and ast.unparse(call.func).rpartition(".")[2] not in functions:
            continue
        for keyword in call.keywords:
            if keyword.arg == name:
                found |= words(keyword.value)
        if position is not None and len(call.args) > position:
            found |= words(call.args[position])
    return found


def test_every_finding_has_its_line() -> None:
    codes = given("code", "Finding") | given("code", "refuse", position=0)
    assert len(codes) > 40
    assert codes - quoted("findings", "json") == set()


def test_every_reason_to_stay_has_its_line() -> None:
    codes = given("code", "Stay")
    assert len(codes) > 20
    assert codes - quoted("placement") == set()


def test_every_error_code_has_its_line() -> None:
    reasons = given("reason")
    assert len(reasons) > 20
    assert reasons - quoted("findings", "json") == set()


def keys(table: Any, path: str = "") -> Iterator[str]:
    """Of tables in tables too; of those in a list by the list's name, of those that a person names by NAME."""
    for key, (_, kind) in fields(table).items():
        tables = [one for one in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(one)]
        for inner in tables:
            named = "NAME." if typing.get_origin(kind) in (dict, Mapping) else ""
            yield from keys(inner, f"{path}{key}.{named}")
        if not tables:
            yield f"{path}{key}"


def test_every_policy_key_has_its_line() -> None:
    found = set(keys(Policy))
    assert len(found) > 25
    assert found - quoted("policy") == set()


def test_every_example_of_a_policy_is_one(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCS["policy"], re.DOTALL)
    assert len(examples) >= 3
    for number, text in enumerate(examples):
        (tmp_path / f"{number}.toml").write_text(text)
        load_policy(tmp_path / f"{number}.toml")
