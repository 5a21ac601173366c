"""`svmove resume`: go on with moves whose svmove died or left."""

from typing import TYPE_CHECKING, Annotated

import typer

from svmove.cli import complete, plan
from svmove.cli.context import Options, options, print_json, stderr
from svmove.cli.documented import documented
from svmove.cli.exits import Exit, of_outcome
from svmove.cli.move import carry_on, tell, walk, watched
from svmove.errors import RefusedError, UsageError
from svmove.outcomes import Outcome, Seconds, State
from svmove.requests import Method

if TYPE_CHECKING:
    from svmove.mover import Mover
    from svmove.ports import Cancel, Listener

NOTHING = Outcome(
    move=None, domain=None, state=State.ALREADY_THERE, method=Method.MIRROR, disks=(), seconds=Seconds(), findings=()
)
# Of several moves the worst counts.
_WORST = (Exit.UNREACHABLE, Exit.HELD, Exit.INTERRUPTED, Exit.ROLLED_BACK)


def resume(
    context: typer.Context,
    move: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="without: the only one that there is", autocompletion=complete.moves),
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="all that nobody works on, one after the other")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="go on in the background, and print the id")] = False,
    json: plan.Json = False,
) -> int:
    """Go on with a move that was left: finish it, roll it back, or hold it with both copies kept."""
    if every and move is not None:
        raise UsageError("either --all or an ID")
    if every and detach:
        raise UsageError("--detach is for one move", remedy="name it")

    def work() -> int:
        mover = options(context).walker()
        left = (move,) if move is not None else mover.open_moves()
        if every:
            return _all(mover, left, json=json)
        if not left:
            tell(NOTHING, json=json, text="nothing to resume")
            return Exit.OK
        if len(left) > 1:
            raise UsageError("more than one move was left", remedy="say --all, or name one: " + ", ".join(left))
        if detach:
            return _detached(options(context), mover, left[0], json=json)
        return watched(lambda listener, cancel: mover.resume(left[0], listener=listener, cancel=cancel), json=json)

    return documented(work, domain=None, json=json)


def _detached(given: Options, mover: "Mover", move: str, *, json: bool) -> int:
    if (worker := mover.journal.owner(move)) is not None:
        raise RefusedError(f"process {worker.pid} works on move {move}", remedy=f"svmove wait {move}")
    return carry_on(given, mover, move, mover.recorded(move), json=json)


def _all(mover: "Mover", left: tuple[str, ...], *, json: bool) -> int:
    outcomes: list[Outcome] = []
    codes: set[Exit] = set()
    # Those that may wait for a slot come last: nobody looks after the others meanwhile.
    may_wait = {found.move for found in mover.journal.moves() if found.phase in ("planned", "admitted", "prepared")}
    for move in sorted(left, key=lambda move: move in may_wait):
        try:
            outcome, interrupted = _one(mover, move)
        except RefusedError as error:  # another process works on it
            stderr().print(error.text, markup=False)
            continue
        outcomes.append(outcome)
        code = of_outcome(outcome)
        # One that somebody else had cancelled is rolled back like any other: it was not us who were interrupted.
        codes.add(Exit.ROLLED_BACK if code is Exit.INTERRUPTED and not interrupted else code)
        if not json:
            tell(outcome, json=False)
        if interrupted:
            break
    if json:
        from svmove.view import document

        print_json(document.moves(outcomes))
    elif not left:
        print("nothing to resume")
    return next((code for code in _WORST if code in codes), Exit.OK)


def _one(mover: "Mover", move: str) -> tuple[Outcome, bool]:
    """How it ended, and whether this process was interrupted meanwhile."""
    interrupted = False

    def work(listener: "Listener", cancel: "Cancel") -> Outcome:
        nonlocal interrupted
        try:
            return mover.resume(move, listener=listener, cancel=cancel)
        finally:
            interrupted = cancel.is_set()

    return walk(work), interrupted
