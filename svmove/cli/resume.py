"""`svmove resume`: go on with a move whose svmove died or left."""

from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import options, print_json
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.move import watched
from svmove.errors import UsageError
from svmove.moves import Outcome, Seconds, State

NOTHING = Outcome(
    move=None, domain=None, state=State.ALREADY_THERE, method="mirror", disks=(), seconds=Seconds(), findings=()
)


def resume(
    context: typer.Context,
    move: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="without: the only one that there is", autocompletion=complete.moves),
    ] = None,
    json: plan.Json = False,
) -> int:
    """Go on with a move that was left: finish it, roll it back, or hold it with both copies kept."""

    def work() -> int:
        mover = options(context).mover()
        left = (move,) if move is not None else mover.open_moves()
        if not left:
            if json:
                from svmove.view import document

                print_json(document.move(NOTHING))
            else:
                print("nothing to resume")
            return Exit.OK
        if len(left) > 1:
            raise UsageError("more than one move was left", remedy="name one: " + ", ".join(left))
        return watched(lambda listener, cancel: mover.resume(left[0], listener=listener, cancel=cancel), json=json)

    return documented(work, domain=None, json=json)
