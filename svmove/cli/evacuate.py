"""`svmove evacuate`: a pool is to be emptied."""

from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import options, print_json, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.errors import UsageError


def evacuate(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(metavar="POOL", autocompletion=complete.pools)],
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="POOL", help="one of the pools to fill, may be repeated", autocompletion=complete.pools
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be moved where, and what can't")
    ] = False,
    json: plan.Json = False,
) -> int:
    """Say how a pool would be emptied: first what can't move and why, then where each disk would go, in which order."""
    if not dry_run:
        raise UsageError("evacuate --dry-run", remedy="add --dry-run; each disk is then moved by svmove move")

    def work() -> int:
        found = options(context).placer().evacuation(pool, tuple(to or ()))
        from svmove.view import placement, tables

        if json:
            print_json(placement.evacuation_document(found))
        else:
            tables.show(stdout(), placement.evacuation(found))
        return Exit.OK

    return documented(work, domain=None, json=json)
