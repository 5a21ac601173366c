"""`svmove plan`, and the options that it shares with `svmove move`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from svmove import location
from svmove.budgets import Priority
from svmove.cli import complete, parse
from svmove.cli.context import options, print_json, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.plan.planner import consistent
from svmove.requests import Request
from svmove.units import parse_duration, parse_rate

Domain = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="a guest, running or off", autocompletion=complete.domains)
]
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
KeepFor = Annotated[
    str | None,
    typer.Option("--keep-for", metavar="DURATION", help="keep the source volumes so long, such as 7d; then svmove gc"),
]
DeleteSource = Annotated[
    bool, typer.Option("--delete-source", help="delete the source volumes at once, whatever the policy says")
]
MaxPause = Annotated[
    str | None,
    typer.Option("--max-pause", metavar="DURATION", help="the guest's longest standstill, such as 500ms [2s]"),
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="DURATION", help="roll back if the cutover is not reached by then, such as 2h"),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help='copy now, switch the guest not before that: 22:00, 2026-11-26T22:00, or "22:00 Europe/Berlin"',
    ),
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
Trim = Annotated[
    bool, typer.Option("--trim", help="the guest trims its file systems first (agent), so that less is copied")
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="the guest's file systems are frozen for the cutover (agent), and thawed")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="a volume that is taken as it is (LUN, partition, export) may have something in it"
    ),
]
Encrypt = Annotated[
    str | None,
    typer.Option("--encrypt", metavar="SECRET", help="LUKS with this secret of libvirt: its uuid, or its usage"),
]
Decrypt = Annotated[bool, typer.Option("--decrypt", help="what is encrypted arrives plain")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]


def request(given: Mapping[str, Any]) -> Request:
    """Of the options of `plan` and `move`, by the names of their parameters. Raises UsageError."""
    wanted = Request(
        domain=given["domain"],
        to=given["to"],
        disks=tuple(parse.disk(text) for text in given["disk"] or ()),
        format=parse.format_(given["format_"]),
        bandwidth=parse.optional(parse_rate, given["bandwidth"]),
        verify=parse.optional(parse.verify, given["verify"]),
        method=parse.method(given["method"]),
        flatten=given["flatten"],
        base=parse.base(given["base"]),
        keep_source=given["keep_source"],
        keep_for=parse.optional(parse_duration, given["keep_for"]),
        delete_source=given["delete_source"],
        max_pause=parse.optional(parse_duration, given["max_pause"]),
        deadline=parse.optional(parse_duration, given["deadline"]),
        at=parse.optional(parse.moment, given["at"]),
        allocation=parse.allocation(given["allocation"]),
        trim=given["trim"],
        freeze=given["freeze"],
        overwrite=given["overwrite"],
        encrypt=parse.optional(location.secret, given["encrypt"] or None),
        decrypt=given["decrypt"],
        priority=parse.priority(given.get("priority", Priority.NORMAL)),
        wait=not given.get("no_wait", False),
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
    keep_for: KeepFor = None,
    delete_source: DeleteSource = False,
    max_pause: MaxPause = None,
    deadline: Deadline = None,
    at: At = None,
    method: How = "auto",
    flatten: Flatten = False,
    base: Base = "copy",
    allocation: Room = "keep",
    trim: Trim = False,
    freeze: Freeze = False,
    overwrite: Overwrite = False,
    encrypt: Encrypt = None,
    decrypt: Decrypt = False,
    json: Json = False,
) -> int:
    """Say what a move would do, how long it would take, and what speaks against it. Changes nothing."""
    wanted = request(context.params)

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
