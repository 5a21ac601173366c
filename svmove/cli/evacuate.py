"""`svmove evacuate`: a pool is emptied, each guest by a move in a process of its own."""

from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import Options, options, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.hosts import Show, each_documented
from svmove.cli.workers import Processes, carried, interrupted


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
    end: Annotated[bool, typer.Option("--end", help="let the pool take new disks again")] = False,
    parallel: Annotated[int, typer.Option("--parallel", min=1, metavar="N", help="so many guests at a time")] = 2,
    json: plan.Json = False,
) -> int:
    """Empty a pool: move every disk that can move, and tell first what can't and why. Until --end nothing new is placed
    there. Once more after an interruption, it goes on."""

    def on(_host: str, given: Options, show: Show | None) -> int:
        if end:
            return _end(given, pool, show)
        if dry_run:
            found = given.placer().evacuation(pool, tuple(to or ()), at_once=parallel)
            from svmove.view import placement, tables

            if show is not None:
                show(placement.evacuation_document(found))
            else:
                tables.show(stdout(), placement.evacuation(found))
            return Exit.OK
        return _empty(given, pool, tuple(to or ()), parallel, show)

    return documented(lambda: each_documented(options(context), on, json=json), domain=None, json=json)


def _empty(given: Options, pool: str, to: tuple[str, ...], parallel: int, show: Show | None) -> int:
    from svmove.campaign import Campaign
    from svmove.clock import SystemClock
    from svmove.view import placement, tables

    mover, placer = given.mover(), given.placer()
    campaign = Campaign(
        uri=mover.uri,
        pool=pool,
        plan=lambda: placer.evacuation(pool, to, at_once=parallel),
        workers=Processes(given, mover),
        journal=mover.journal,
        clock=SystemClock(),
        told=lambda text: stderr().print(text, markup=False),
        at_once=parallel,
    )
    with interrupted(f"svmove evacuate {pool}") as cancel:
        found = campaign.run(cancel)
    if show is not None:
        show(placement.emptied_document(found))
    else:
        tables.show(stdout(), placement.emptied(found))
    return carried(found, left=bool(found.plan.stays))


def _end(given: Options, pool: str, show: Show | None) -> int:
    mover = given.mover()
    was = mover.journal.campaigns.end(mover.uri, pool)
    if show is not None:
        show({"schema": 1, "pool": pool, "state": "ended" if was else "not-emptied"})
    else:
        stdout().print(f"{pool} takes new disks again" if was else f"{pool} was not being emptied", markup=False)
    return Exit.OK
