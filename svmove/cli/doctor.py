"""`svmove doctor`: what can be looked at without a guest, each line with its remedy."""

import os
from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import Options, options, stdout
from svmove.cli.exits import Exit
from svmove.cli.hosts import Show, each_documented


def doctor(
    context: typer.Context,
    pools: Annotated[
        list[str] | None,
        typer.Argument(metavar="[POOL]...", help="only these pools [all]", autocompletion=complete.all_pools),
    ] = None,
    json: plan.Json = False,
) -> int:
    """Look at all that a move will need: libvirt, versions, commands, scratch space, policy, journal, pools, old moves.

    Changes nothing (a journal that is not there is made). Exits with 0 when nothing keeps a move from running, else
    with 3; with 6 when libvirt does not answer.
    """
    from svmove.doctor import examine, judge
    from svmove.health import Mark
    from svmove.journal import default_url
    from svmove.layers.files import found_by_themselves
    from svmove.plan.health import worst
    from svmove.view import health, tables

    def look(_host: str, given: Options, show: Show | None) -> Exit:
        places = (*found_by_themselves(os.environ), *([given.policy] if given.policy else []))
        facts = examine(
            given.uri,
            given.journal or default_url(),
            load_policy=given.load_policy,
            policy_files=[str(path) for path in places if path.exists()],
            asked=pools or (),
        )
        lines = judge(facts)
        if show is not None:
            show(health.document(facts, lines))
        else:
            tables.show(stdout(), health.table(lines))
        if facts.libvirt.unreachable is not None:
            return Exit.UNREACHABLE
        return Exit.REFUSED if worst(lines) is Mark.PROBLEM else Exit.OK

    return each_documented(options(context), look, json=json)
