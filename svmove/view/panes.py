"""What is shown of moves in general: the task pane, a history, a decision, leftovers."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from rich.console import Group, RenderableType
from rich.text import Text

from svmove.decisions import Decision
from svmove.journal import Entry, Figures, Kind, Record
from svmove.move.leftovers import Leftover
from svmove.move.outcome import of_record
from svmove.move.tasks import Task, TaskState
from svmove.units import show_duration, show_rate
from svmove.view import tables
from svmove.windows import Moment

_STATES = {
    TaskState.RUNNING: "green",
    TaskState.LEFT: "yellow",
    TaskState.HELD: "bold red",
    TaskState.ENDED: "dim",
    TaskState.UNKNOWN: "yellow",
}
_ADVICE = {
    TaskState.LEFT: "nobody works on it: svmove resume {}",
    TaskState.HELD: "a person decides: svmove show {0}, then accept or rollback",
    TaskState.UNKNOWN: "its journal is lost, or elsewhere: svmove resume {} holds it here",
}
_KINDS = {Kind.ERROR: "red", Kind.PHASE: "bold"}


def tasks(found: Sequence[Task], *, hosts: bool = False) -> RenderableType:
    """`hosts`: of several, so each move's is told."""
    if not found:
        return Text("no moves")
    headings = (
        "id",
        *(["host"] if hosts else []),
        "domain",
        "disks",
        "phase",
        "done",
        "rate",
        "remaining",
        "age",
        "state",
    )
    made = tables.table(headings, [], right=("done", "rate", "remaining", "age"))
    for task in found:
        figures = task.figures
        made.add_row(
            Text(task.move),
            *([Text(urlsplit(task.uri).netloc or "localhost")] if hosts else []),
            Text(task.domain),
            Text(" ".join(task.disks)),
            Text(task.phase),
            Text(f"{100 * figures.done / figures.end:.0f} %" if figures and figures.end else ""),
            Text(show_rate(figures.rate) if figures and figures.rate is not None else ""),
            Text(_remaining(figures)),
            Text(show_duration(task.age)),
            Text(task.state, style=_STATES[task.state]),
        )
    queued = [Text(f"{task.move} {task.waits}", style="dim") for task in found if task.waits is not None]
    todo = [Text(_ADVICE[task.state].format(task.move), style="dim") for task in found if task.state in _ADVICE]
    todo += [
        Text(
            f"{task.move} is switched from {_hour(task.cutover)} on: svmove set {task.move} --cutover now", style="dim"
        )
        for task in found
        if task.cutover is not None
    ]
    return Group(made, *queued, *todo)


def _hour(opens: Moment) -> str:
    return f"{opens.local:%Y-%m-%d %H:%M} ({opens.zone})"


def _remaining(figures: Figures | None) -> str:
    if figures is None:
        return ""
    if figures.converges is False:
        return "never, as it goes"
    return "" if figures.remaining is None else show_duration(figures.remaining)


def history(record: Record) -> RenderableType:
    """The outcome, and every entry with the time since the first."""
    plan, outcome = record.plan, of_record(record)
    began = record.entries[0].at if record.entries else plan.created
    head = Text(
        f"move {plan.move} of {plan.domain} on {record.uri}, planned {_time(plan.created)} UTC, now {record.phase}"
    )
    made = tables.table(("seconds", "phase", "", "what", "disk", "data"), [], right=("seconds",))
    for entry in record.entries:
        style = _KINDS.get(entry.kind, "")
        cells = (f"{entry.at - began:.3f}", entry.phase, entry.kind.value, entry.what, entry.target or "", _data(entry))
        made.add_row(*(Text(cell, style=style) for cell in cells))
    return Group(head, made, tables.outcome(outcome))


def _data(entry: Entry) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.data.items() if value not in (None, ""))


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def decision(found: Decision) -> RenderableType:
    rows = [(fate.target, fate.text, "\n".join(fate.keeps), "\n".join(fate.loses)) for fate in found.fates]
    return Group(
        Text(f"move {found.move} of {found.domain} would go {found.way}; now: {found.seen}"),
        tables.table(("disk", "what becomes of it", "kept", "deleted, for good"), rows),
    )


def leftovers(found: Sequence[Leftover], removed: Collection[int], *, asked: bool) -> RenderableType:
    if not found:
        return Text("nothing is left behind")
    rows = [
        (leftover.kind.value, leftover.path, leftover.move, leftover.text, _fate(leftover, number in removed))
        for number, leftover in enumerate(found)
    ]
    shown = tables.table(("kind", "where", "move", "what", "gc"), rows)
    free = sum(leftover.kept is None for leftover in found)
    return shown if asked or not free else Group(shown, Text(f"svmove gc --yes removes {free}", style="dim"))


def _fate(leftover: Leftover, removed: bool) -> str:
    if removed:
        return "removed"
    return "may go" if leftover.kept is None else f"stays: {leftover.kept}"
