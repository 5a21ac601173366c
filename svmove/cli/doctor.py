"""`svmove doctor`: what can be looked at without a guest, each line with its remedy."""

import os
from typing import Annotated, Any

import typer

from svmove.cli import complete, plan
from svmove.cli.context import Options, options, print_json, stdout
from svmove.cli.exits import Exit
from svmove.cli.hosts import each


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

    told: list[tuple[str, dict[str, Any]]] = []
    several = len(options(context).hosts()) > 1

    def look(host: str, given: Options) -> Exit:
        places = (*found_by_themselves(os.environ), *([given.policy] if given.policy else []))
        facts = examine(
            given.uri,
            given.journal or default_url(),
            load_policy=given.load_policy,
            policy_files=[str(path) for path in places if path.exists()],
            asked=pools or (),
        )
        lines = judge(facts)
        if json:
            told.append((host, health.document(facts, lines)))
        else:
            if several:
                stdout().print(f"{host}:", markup=False)
            tables.show(stdout(), health.table(lines))
        if facts.libvirt.unreachable is not None:
            return Exit.UNREACHABLE
        return Exit.REFUSED if worst(lines) is Mark.PROBLEM else Exit.OK

    code = each(options(context), look)
    if json and several:
        print_json({"schema": 1, "hosts": [{"host": host, **document} for host, document in told]})
    elif json:
        print_json(told[0][1])
    return code
