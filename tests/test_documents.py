"""What a user may meet, and the contract promises, is in the documents: finding codes, error codes, policy keys."""

import ast
import dataclasses
import re
from pathlib import Path

import svmove
from svmove.policy import Policy

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


def test_every_policy_key_has_its_line() -> None:
    keys = {
        f"{table.name}.{key.name}"
        for table in dataclasses.fields(Policy)
        if dataclasses.is_dataclass(getattr(Policy(), table.name))
        for key in dataclasses.fields(getattr(Policy(), table.name))
    }
    assert len(keys) > 25
    assert keys - quoted("policy") == set()
