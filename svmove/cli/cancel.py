"""`svmove cancel`: let a move that is under way go back, whoever works on it."""

import typer

from svmove.cli import plan
from svmove.cli.context import options
from svmove.cli.documented import documented
from svmove.cli.exits import Exit, of_outcome
from svmove.cli.move import watched
from svmove.cli.tasks import Id
from svmove.outcomes import Outcome, State


def cancel(context: typer.Context, move: Id, json: plan.Json = False) -> int:
    """Take a move back to its sources, and wait for that. From the cutover on it is too late, and it goes on."""

    def work() -> int:
        mover = options(context).walker()
        return watched(
            lambda listener, cancel: mover.cancel(move, listener=listener, cancel=cancel), json=json, code=_code
        )

    return documented(work, domain=None, json=json)


def _code(outcome: Outcome) -> Exit:
    if outcome.state is State.ROLLED_BACK:
        return Exit.OK
    return Exit.REFUSED if outcome.state is State.DONE else of_outcome(outcome)  # done: it was too late
