"""`svmove balance` and `svmove sample`: what could be better placed, and what that is known from."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from svmove.cli import complete, parse, plan
from svmove.cli.context import Options, options, print_json, stderr, stdout
from svmove.cli.decide import Yes
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.workers import Processes, carried, interrupted
from svmove.errors import UsageError
from svmove.units import parse_duration

if TYPE_CHECKING:
    from svmove.proposals import Agreed, Balance, Carried


def balance(
    context: typer.Context,
    pools: Annotated[
        str | None,
        typer.Option("--pools", metavar="POOL,...", help="only between these", autocompletion=complete.pools),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="carry the moves out, when you agree to them")] = False,
    yes: Yes = False,
    parallel: Annotated[int, typer.Option("--parallel", min=1, metavar="N", help="so many guests at a time")] = 2,
    json: plan.Json = False,
) -> int:
    """Say which moves would relieve pools that are too full or too slow, at what cost. Without --apply nothing is
    changed; with it, once more after an interruption goes on."""
    if apply and not yes and (json or not sys.stdin.isatty()):
        raise UsageError("nobody can be asked here", remedy="look without --apply, then say --yes")

    def work() -> int:
        given = options(context)
        placer = given.placer()
        found, known = placer.balance(parse.names(pools)), placer.latencies()
        sampled = None if known is None else known.seconds
        from svmove.view import placement, tables

        if json:
            print_json(placement.balance_document(found, sampled))
        else:
            tables.show(stdout(), placement.balance(found, sampled))
        return Exit.OK

    def carry_out() -> int:
        given = options(context)
        names = parse.names(pools)
        found = given.placer().balance(names)
        from svmove.view import placement, tables

        if not json:
            tables.show(stderr(), placement.balance(found, None if given.placer().latencies() is None else 0.0))
        if found.moves and not yes and not typer.confirm("Move them?", err=True):
            return Exit.REFUSED
        done = _carried_out(given, names, found, parallel)
        if json:
            print_json(placement.balanced_document(done))
        else:
            tables.show(stdout(), placement.balanced(done))
        return carried(done, left=bool(done.plan.moves))

    return documented(carry_out if apply else work, domain=None, json=json)


def _carried_out(given: Options, pools: tuple[str, ...], found: "Balance", parallel: int) -> "Carried[Agreed]":
    """What was agreed to, as long as it is recommended: before each guest it is planned anew."""
    from svmove.campaign import NO_POOL, Campaign
    from svmove.clock import SystemClock
    from svmove.proposals import agreed

    wanted = frozenset((move.uuid, move.target, move.pool_to) for move in found.moves)
    mover, placer = given.mover(), given.placer()
    campaign = Campaign(
        uri=mover.uri,
        pool=NO_POOL,
        plan=lambda: agreed(placer.balance(pools), wanted),
        workers=Processes(given, mover),
        journal=mover.journal,
        clock=SystemClock(),
        told=lambda text: stderr().print(text, markup=False),
        at_once=parallel,
    )
    with interrupted("svmove balance --apply") as cancel:
        done = campaign.run(cancel)
    if not done.interrupted:
        mover.journal.campaigns.end(mover.uri, NO_POOL)
    return done


def sample(
    context: typer.Context,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="go on, such as 5min, until Ctrl-C")
    ] = None,
    json: plan.Json = False,
) -> int:
    """Note how much all disks have been read and written, and how long that took: `balance` compares the notes."""
    wait = parse.optional(parse_duration, every)

    def work() -> int:
        placer = options(context).placer()
        while True:
            found = placer.sample()
            if json:
                print_json({"schema": 1, "at": found.at, "disks": len(found.counters)})
            else:
                stdout().print(f"{len(found.counters)} disks")
            if wait is None:
                return Exit.OK
            time.sleep(wait)

    return documented(work, domain=None, json=json)
