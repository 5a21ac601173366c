"""What `svmove doctor` has found, as a table and as a document (docs/json.md)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from svmove.health import Facts, Line, Mark
from svmove.plan.health import worst
from svmove.view.document import SCHEMA

_STYLES = {Mark.OK: "green", Mark.NOTE: "cyan", Mark.WARNING: "yellow", Mark.PROBLEM: "bold red"}
_ENDS = {
    Mark.OK: "all is well",
    Mark.NOTE: "nothing keeps a move from running",
    Mark.WARNING: "nothing keeps a move from running; the warnings are worth a look",
    Mark.PROBLEM: "moves will be refused, or fail, until the problems are solved",
}


def document(facts: Facts, lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "uri": facts.libvirt.uri,
        "worst": worst(lines),
        "lines": [dataclasses.asdict(line) for line in lines],
    }


def table(lines: Sequence[Line]) -> RenderableType:
    """A remedy stands below what it is for: it is often a command, to be copied."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "subject", "seen, and what to do"):
        made.add_column(heading, overflow="fold")
    for line in lines:
        said = Text(line.seen)
        if line.remedy is not None and line.mark is not Mark.OK:
            said.append(f"\n→ {line.remedy}", style="dim")
        made.add_row(Text(line.mark.value, style=_STYLES[line.mark]), Text(line.subject), said)
    end = worst(lines)
    return Group(made, Text(_ENDS[end], style=_STYLES[end]))
