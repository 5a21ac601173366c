"""`svmove accept`: a person decides that a held move goes to where the guest is."""

from typing import Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import options, stderr
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.move import watched
from svmove.errors import RefusedError
from svmove.moves import State


def accept(
    context: typer.Context,
    move: Annotated[str, typer.Argument(metavar="ID", help="a held move", autocompletion=complete.moves)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="don't ask")] = False,
    json: plan.Json = False,
) -> int:
    """Let a held move end where the guest is; the other copy of each disk is deleted."""

    def work() -> int:
        mover = options(context).mover()
        held = mover.recorded(move)
        if held.state is not State.HELD:
            raise RefusedError(f"move {move} is not held, it is {held.state}")
        if not yes:
            console = stderr()
            if held.error:
                console.print(f"{held.error.code}: {held.error.text}", markup=False)
            for disk in held.disks:
                console.print(f"{disk.target}: {disk.source} or {disk.destination}", markup=False)
            console.print(
                "What the guest runs on is kept. The other one of each pair is deleted, and can't be had back."
            )
            if not typer.confirm("Go on?", err=True):
                return Exit.HELD
        return watched(lambda listener, cancel: mover.accept(move, listener=listener, cancel=cancel), json=json)

    return documented(work, domain=None, json=json)
