"""`svmove tasks`, `svmove show`, `svmove wait`: what is going on, what was, and when it ends."""

import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from svmove import addresses
from svmove.cli import complete, plan
from svmove.cli.context import Options, options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit, of_outcome
from svmove.cli.hosts import each
from svmove.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from svmove.move.tasks import Task

Id = Annotated[str, typer.Argument(metavar="ID", autocompletion=complete.moves)]
AnyId = Annotated[str, typer.Argument(metavar="ID", autocompletion=complete.all_moves)]
# A person can't read faster.
_EVERY = 1.0


def tasks(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", "-a", help="also the moves that have ended")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="go on showing, until Ctrl-C")] = False,
    json: plan.Json = False,
) -> int:
    """Show the moves that are under way, left by a process that died, or held."""
    given = options(context)
    if watch and json:
        raise UsageError("--watch is for people", remedy="call tasks --json as often as you like")
    from svmove.view import document, panes, tables

    several = len(given.hosts()) > 1
    if json:
        print_json(document.tasks(_all(given, ended=every)))
    elif not watch:
        tables.show(stdout(), panes.tasks(_all(given, ended=every), hosts=several))
    else:
        from rich.live import Live

        with Live(panes.tasks(_all(given, ended=every), hosts=several), console=stdout(), auto_refresh=False) as live:
            while True:
                time.sleep(_EVERY)
                live.update(panes.tasks(_all(given, ended=every), hosts=several), refresh=True)
    return Exit.OK


def _all(given: Options, *, ended: bool) -> "list[Task]":
    """Of all hosts that are named, oldest first."""
    found: dict[str, Task] = {}

    def look(_host: str, alone: Options) -> Exit:
        here = addresses.address(alone.uri)
        for task in _tasks(alone, ended=ended):
            if task.move not in found or task.uri == here:  # a journal tells of the others' moves as well
                found[task.move] = task
        return Exit.OK

    each(given, look)
    return sorted(found.values(), key=lambda task: task.move)


def _tasks(given: Options, *, ended: bool) -> "tuple[Task, ...]":
    try:
        return given.mover().tasks(ended=ended)
    except UnreachableError as error:
        from svmove.move.tasks import tasks as of_journal

        stderr().print(f"{error.text}: only what the journal tells", markup=False)
        budgets = given.load_policy().budgets
        return of_journal(given.open_journal(), None, given.uri, time.time(), budgets, ended=ended)


def show(context: typer.Context, move: AnyId, json: plan.Json = False) -> int:
    """Show all that is recorded of a move: each intention, fact and error, with its time."""

    def work() -> int:
        record = options(context).open_journal().read(move)
        from svmove.view import document, panes, tables

        if json:
            print_json(document.history(record))
        else:
            tables.show(stdout(), panes.history(record))
        return Exit.OK

    return documented(work, domain=None, json=json)


def wait(context: typer.Context, move: AnyId, json: plan.Json = False) -> int:
    """Wait until nobody works on a move any more; the exit code is that of the move."""

    def work() -> int:
        from svmove.move.outcome import of_record
        from svmove.view import document, tables
        from svmove.view.progress import ProgressView

        journal = options(context).open_journal()
        journal.read(move)  # or there is no such move
        released = threading.Event()

        def until_released() -> None:
            journal.await_release(move)
            released.set()

        threading.Thread(target=until_released, daemon=True).start()
        with ProgressView(stderr()) as view:
            while not released.wait(_EVERY / 2):
                if (notice := journal.notices().get(move)) is not None:
                    view.notice(move, notice)
        outcome = of_record(journal.read(move))
        if json:
            print_json(document.move(outcome))
        else:
            tables.show(stdout(), tables.outcome(outcome))
        return of_outcome(outcome)

    return documented(work, domain=None, json=json)
