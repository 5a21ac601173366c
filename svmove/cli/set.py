"""`svmove set`: other terms for a move that is under way."""

import time
from typing import Annotated

import typer

from svmove.cli import parse, plan
from svmove.cli.context import options, print_json
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.tasks import Id
from svmove.errors import UsageError
from svmove.moves import Terms
from svmove.units import parse_duration, parse_rate, show_duration, show_rate
from svmove.windows import Moment

Bandwidth = Annotated[
    str | None, typer.Option("--bandwidth", metavar="RATE|none", help="limit of the whole move, such as 200MiB/s")
]
MaxPause = Annotated[
    str | None, typer.Option("--max-pause", metavar="DURATION", help="the guest's longest standstill, such as 500ms")
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="DURATION|none", help="from its start to the cutover; then it is rolled back"),
]
Cutover = Annotated[
    str | None,
    typer.Option("--cutover", metavar="now|TIME", help="switch the guest from then on, whatever the windows say"),
]


def set_(
    context: typer.Context,
    move: Id,
    bandwidth: Bandwidth = None,
    max_pause: MaxPause = None,
    deadline: Deadline = None,
    cutover: Cutover = None,
    json: plan.Json = False,
) -> int:
    """Change a move that is under way. What is not named stays as it is."""
    terms: dict[str, float | Moment | None] = {}
    if bandwidth is not None:
        terms["bandwidth"] = None if bandwidth == "none" else parse.optional(parse_rate, bandwidth)
    if max_pause is not None:
        terms["max_pause"] = parse.optional(parse_duration, max_pause)
    if deadline is not None:
        terms["deadline"] = None if deadline == "none" else parse.optional(parse_duration, deadline)
    if cutover is not None:
        now = Moment(at=time.time(), zone=parse.local_zone())
        terms["cutover"] = now if cutover == "now" else parse.moment(cutover)
    if not terms:
        raise UsageError("nothing to change", remedy="name --bandwidth, --max-pause, --deadline or --cutover")

    def work() -> int:
        found, process = options(context).mover().change(move, **terms)
        if json:
            from svmove.view import document

            print_json(document.terms(move, found, process))
            return Exit.OK
        rate = "none" if found.bandwidth is None else show_rate(found.bandwidth)
        limit = "none" if found.deadline is None else show_duration(found.deadline)
        print(f"bandwidth {rate}, pause at most {show_duration(found.max_pause)}, deadline {limit}" + _opens(found))
        if process is None:
            print(f"nobody works on it now: svmove resume {move}")
        return Exit.OK

    return documented(work, domain=None, json=json)


def _opens(terms: Terms) -> str:
    now = time.time()
    if terms.cutover is None:
        return ""
    return ", cutover at once" if terms.cutover.at <= now else f", cutover from {terms.cutover.show(now)} on"
