"""The JSON schema of a policy file, for editors: from the same shapes that check it."""

from typing import Any

from svmove.layers import shapes
from svmove.policy import Policy


def document() -> dict[str, Any]:
    found: dict[str, Any] = shapes.adapter(Policy, whole=True).json_schema()
    _tidy(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "The policy of svmove"}


def _tidy(node: Any) -> None:
    """TOML has no null; and of a table the default is in its keys, the title in its name."""
    if isinstance(node, list):
        for one in node:
            _tidy(one)
        return
    if not isinstance(node, dict):
        return
    if node.get("type") == "null":
        node.clear()
        node["const"] = shapes.NONE
    if isinstance(node.get("title"), str):
        del node["title"]
    if isinstance(node.get("default"), dict):
        del node["default"]
    for one in node.values():
        _tidy(one)
