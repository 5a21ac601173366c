"""`svmove resume`: go on with a move whose svmove died or left."""

from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import options
from svmove.cli.move import watched
from svmove.errors import UsageError


def resume(
    context: typer.Context,
    move: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="without: the only one that there is", autocompletion=complete.moves),
    ] = None,
    json: plan.Json = False,
) -> int:
    """Go on with a move that was left: finish it, roll it back, or hold it with both copies kept."""
    mover = options(context).mover()
    if move is None:
        left = mover.open_moves()
        if not left:
            print("nothing to resume")
            return 0
        if len(left) > 1:
            raise UsageError("more than one move was left", remedy="name one: " + ", ".join(left))
        move = left[0]
    chosen = move
    return watched(lambda listener, cancel: mover.resume(chosen, listener=listener, cancel=cancel), json=json)
