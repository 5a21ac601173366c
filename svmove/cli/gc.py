"""`svmove gc`: what ended moves left behind."""

from typing import Annotated

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.errors import SvmoveError, UnreachableError


def gc(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="remove what may go")] = False,
    json: plan.Json = False,
) -> int:
    """List what ended moves left behind: volumes, scratch files, markers. With --yes, remove what may go.

    Nothing goes that is in use, that the journal does not prove to be svmove's, or that may be the only good copy.
    """

    def work() -> int:
        mover = options(context).mover()
        found = mover.leftovers()
        removed, failed = set[int](), 0
        for number, leftover in enumerate(found):
            if yes and leftover.kept is None:
                try:
                    mover.remove(leftover)
                    removed.add(number)
                except UnreachableError:
                    raise
                except SvmoveError as error:
                    failed += 1
                    stderr().print(f"{leftover.path}: {error.text}", markup=False)
        from svmove.view import document, panes, tables

        if json:
            print_json(document.leftovers(found, removed))
        else:
            tables.show(stdout(), panes.leftovers(found, removed, asked=yes))
        return Exit.REFUSED if failed else Exit.OK

    return documented(work, domain=None, json=json)
