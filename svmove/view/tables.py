"""Tables for a terminal. Names come from guests and files: they are put in as text, never as markup."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from svmove.moves import Finding, Level, Plan
from svmove.outcomes import DiskOutcome, Failure, GuestOn, Outcome, State
from svmove.requests import Method, Verify
from svmove.units import show_duration, show_rate, show_size

_STYLES = {Level.REFUSE: "bold red", Level.WARN: "yellow", Level.NOTE: "cyan"}
_WEIGHTS = {Level.NOTE: 0, Level.WARN: 1, Level.REFUSE: 2}
_STATES = {
    State.DONE: "green",
    State.ALREADY_THERE: "green",
    State.REFUSED: "red",
    State.ROLLED_BACK: "yellow",
    State.HELD: "bold red",
    State.HANDED_OVER: "yellow",
    State.STARTED: "green",
}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        # Folded, not cut: a path that ends in "…" can't be copied.
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def outcome(found: Outcome) -> RenderableType:
    """The end of a move: the table, what is to be known, and where the guest is."""
    parts: list[RenderableType] = []
    if found.disks:
        parts.append(
            table(
                ("disk", "from", "to", "format", "copied", "seconds", "pause", "verified"),
                [
                    (
                        disk.target,
                        disk.pool_from or disk.source,
                        disk.pool_to,
                        disk.format,
                        show_size(disk.copied_bytes) + (f" by {disk.way}" if disk.way else ""),
                        f"{found.seconds.total:.1f}",
                        show_duration(found.seconds.pause),
                        _verified(disk),
                    )
                    for disk in found.disks
                ],
                right=("copied", "seconds", "pause"),
            )
        )
    for medium in found.media:
        path = medium.destination if medium.on is GuestOn.DESTINATION else medium.source
        parts.append(Text(f"{medium.target}: {path} in the drive"))
    if trimmed := sum(disk.trimmed_bytes for disk in found.disks):
        parts.append(Text(f"trimmed: {show_size(trimmed)}, which were not copied"))
    parts.extend(_findings(found.findings))
    said = Text(found.state.value, style=_STATES[found.state])
    if found.move:
        said.append(f"  move {found.move}", style="dim")
    if found.state is State.DONE:
        said.append(
            f"  {found.method}, copy {show_duration(found.seconds.copy)}, pause {show_duration(found.seconds.pause)}, "
            f"verification {show_duration(found.seconds.verify)}",
            style="dim",
        )
    parts.append(said)
    if found.error is not None and found.state is not State.REFUSED:  # else the findings have said it
        parts.extend(_failure(found.error))
    return Group(*parts)


def _verified(disk: DiskOutcome) -> str:
    if disk.verify is Verify.NONE:
        return "not wanted"
    if disk.mismatches:
        return f"{len(disk.mismatches)} extents differ"
    if not disk.verified:
        return "no"
    return "shared extents, and the rest" if disk.shared else "every byte"


def _failure(failure: Failure) -> list[Text]:
    lines = [Text(f"{failure.code}: {failure.text}"), Text(f"the guest is on: {failure.guest_on}")]
    if failure.remedy:
        lines.append(Text(failure.remedy, style="dim"))
    return lines


def plan(found: Plan) -> RenderableType:
    parts: list[RenderableType] = []
    if found.disks:
        parts.append(
            table(
                ("disk", "from", "to", "format", "to copy", "source afterwards"),
                [
                    (
                        disk.target,
                        f"{disk.pool_from or '(no pool)'}: {disk.source}",
                        f"{disk.destination.pool}: {disk.destination.path}",
                        disk.destination.format + (", LUKS" if disk.destination.luks else ""),
                        show_size(disk.copy_bytes),
                        "deleted" if disk.delete_source else "kept",
                    )
                    for disk in found.disks
                ],
                right=("to copy",),
            )
        )
        cap = found.windows.rate(found.created, found.bandwidth)
        opens = found.windows.opens(found.created, found.at)
        parts.append(
            Text(
                f"method {found.method} ({found.why}), "
                f"{show_size(found.copy_bytes)} in about {show_duration(found.copy_seconds)}"
                + (f" at {show_rate(cap)}" if cap else "")
                + (f", pause at most {show_duration(found.max_pause)}" if found.method is not Method.OFFLINE else "")
                + (f", cutover within {show_duration(found.deadline)}" if found.deadline is not None else "")
                + (f", cutover from {opens.show(found.created)} on" if opens is not None else "")
                + f", verification: {found.verify}"
                + (", trimmed first" if found.trim else "")
                + (", frozen for the cutover" if found.freeze else "")
            )
        )
    parts.extend(
        Text(f"{medium.target}: {medium.source} in the drive is changed for a copy in {medium.destination.pool}")
        for medium in found.media
    )
    if found.there:
        parts.append(Text(f"already there: {', '.join(found.there)}"))
    parts.extend(_findings(found.findings))
    if found.refused:
        parts.append(Text("refused: nothing would be done", style="red"))
    return Group(*parts)


def _findings(findings: Sequence[Finding]) -> list[Text]:
    """What weighs most comes last: beside the prompt, where it is read."""
    lines = []
    for finding in sorted(findings, key=lambda finding: _WEIGHTS[finding.level]):
        line = Text(f"{finding.level}", style=_STYLES[finding.level])
        line.append(f" {finding.code}: ", style="bold")
        line.append(finding.text, style="default")
        if finding.remedy:
            line.append(f" → {finding.remedy}", style="dim")
        lines.append(line)
    return lines


def show(console: Console, what: RenderableType) -> None:
    console.print(what, soft_wrap=False)
