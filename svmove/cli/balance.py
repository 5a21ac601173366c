"""`svmove balance` and `svmove sample`: what could be better placed, and what that is known from."""

import time
from typing import Annotated

import typer

from svmove.cli import complete, parse, plan
from svmove.cli.context import options, print_json, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.units import parse_duration


def balance(
    context: typer.Context,
    pools: Annotated[
        str | None,
        typer.Option("--pools", metavar="POOL,...", help="only between these", autocompletion=complete.pools),
    ] = None,
    json: plan.Json = False,
) -> int:
    """Say which moves would relieve pools that are too full or too slow, at what cost. Changes nothing."""

    def work() -> int:
        placer = options(context).placer()
        found, known = placer.balance(parse.names(pools)), placer.latencies()
        sampled = None if known is None else known.seconds
        from svmove.view import placement, tables

        if json:
            print_json(placement.balance_document(found, sampled))
        else:
            tables.show(stdout(), placement.balance(found, sampled))
        return Exit.OK

    return documented(work, domain=None, json=json)


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
