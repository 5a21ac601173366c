"""`svmove plan`, and the options that it shares with `svmove move`."""

from typing import Annotated

import typer

from svmove.cli import complete, parse
from svmove.cli.context import options, print_json, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.moves import Request
from svmove.plan.planner import consistent
from svmove.units import parse_duration, parse_rate

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="a running guest", autocompletion=complete.domains)]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="POOL", help="the destination pool", autocompletion=complete.pools),
]
Disks = Annotated[
    list[str] | None,
    typer.Option(
        "--disk",
        metavar="TARGET[=POOL][,format=FMT][,name=VOLUME]",
        help="a disk to move, may be repeated; without: all that can move",
        autocompletion=complete.disks,
    ),
]
Format = Annotated[str, typer.Option("--format", metavar="keep|raw|qcow2", help="the destination's format")]
Bandwidth = Annotated[
    str | None, typer.Option("--bandwidth", metavar="RATE", help="limit of the whole move, such as 200MiB/s")
]
Verification = Annotated[
    str | None,
    typer.Option(
        "--verify", metavar="cutover|before|none", help="compare every byte before the source is deleted [cutover]"
    ),
]
KeepSource = Annotated[bool, typer.Option("--keep-source", help="don't delete the source volumes")]
MaxPause = Annotated[
    str | None,
    typer.Option("--max-pause", metavar="DURATION", help="the guest's longest standstill, such as 500ms [2s]"),
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="DURATION", help="roll back if the cutover is not reached by then, such as 2h"),
]
How = Annotated[
    str,
    typer.Option("--method", metavar="auto|mirror|synchronous|snapshot|offline", help="how the bytes get over"),
]
Flatten = Annotated[bool, typer.Option("--flatten", help="one file instead of a chain of backing files")]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        metavar="copy|find|stay",
        help="backing files that others use too: copy them, use equal ones at the destination, or leave them",
    ),
]
Room = Annotated[
    str,
    typer.Option("--allocation", metavar="keep|thin|full", help="what the volumes take of their pool from the start"),
]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]


def request(
    domain: str,
    to: str | None,
    disks: list[str] | None,
    format_: str,
    bandwidth: str | None,
    verify: str | None,
    keep_source: bool,
    max_pause: str | None,
    deadline: str | None,
    method: str,
    flatten: bool,
    base: str,
    allocation: str,
) -> Request:
    """Raises UsageError."""
    wanted = Request(
        domain=domain,
        to=to,
        disks=tuple(parse.disk(text) for text in disks or ()),
        format=parse.format_(format_),
        bandwidth=parse.optional(parse_rate, bandwidth),
        verify=parse.optional(parse.verify, verify),
        method=parse.method(method),
        flatten=flatten,
        base=parse.base(base),
        keep_source=keep_source,
        max_pause=parse.optional(parse_duration, max_pause),
        deadline=parse.optional(parse_duration, deadline),
        allocation=parse.allocation(allocation),
    )
    consistent(wanted)
    return wanted


def plan(
    context: typer.Context,
    domain: Domain,
    to: To = None,
    disk: Disks = None,
    format_: Format = "keep",
    bandwidth: Bandwidth = None,
    verify: Verification = None,
    keep_source: KeepSource = False,
    max_pause: MaxPause = None,
    deadline: Deadline = None,
    method: How = "auto",
    flatten: Flatten = False,
    base: Base = "copy",
    allocation: Room = "keep",
    json: Json = False,
) -> int:
    """Say what a move would do, how long it would take, and what speaks against it. Changes nothing."""
    wanted = request(
        domain,
        to,
        disk,
        format_,
        bandwidth,
        verify,
        keep_source,
        max_pause,
        deadline,
        method,
        flatten,
        base,
        allocation,
    )

    def work() -> int:
        found = options(context).mover().plan(wanted)
        if json:
            from svmove.view import document

            print_json(document.plan(found))
        else:
            from svmove.view import tables

            tables.show(stdout(), tables.plan(found))
        return Exit.REFUSED if found.refused else Exit.OK

    return documented(work, domain=domain, json=json)
