"""`svmove place`: where a new volume is to be made."""

from typing import Annotated

import typer

from svmove.cli import complete, parse, plan
from svmove.cli.context import options, print_json, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.proposals import NewVolume
from svmove.requests import Format
from svmove.units import parse_size


def place(
    context: typer.Context,
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="of each volume, such as 20GiB")],
    count: Annotated[int, typer.Option("--count", min=1, help="how many volumes")] = 1,
    thick: Annotated[bool, typer.Option("--full", help="they take all of their room from the start")] = False,
    guest: Annotated[
        str | None,
        typer.Option("--for", metavar="DOMAIN", help="whose affinity rules count", autocompletion=complete.domains),
    ] = None,
    pools: Annotated[
        str | None,
        typer.Option("--pools", metavar="POOL,...", help="one of these", autocompletion=complete.pools),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="raw|qcow2", help="qcow2 goes to pools of files only")
    ] = "raw",
    json: plan.Json = False,
) -> int:
    """Say in which pools new volumes are to be made. Changes nothing. Exit code 3: one has no place."""
    wanted, kind = parse_size(size), parse.format_(format_)
    new = NewVolume(thin=not thick, guest=guest, files_only=kind is Format.QCOW2)

    def work() -> int:
        placer = options(context).placer()
        found = placer.place(wanted, count=count, new=new, pools=parse.names(pools))
        from svmove.view import placement, tables

        if json:
            print_json(placement.places_document(found, wanted))
        else:
            tables.show(stdout(), placement.places(found))
        return Exit.REFUSED if None in found.pools else Exit.OK

    return documented(work, domain=guest, json=json)
