"""`svmove accept` and `svmove rollback`: a person decides which way a held move goes."""

import sys
from typing import Annotated

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit, of_outcome
from svmove.cli.move import watched
from svmove.cli.tasks import Id
from svmove.decisions import Way
from svmove.errors import UsageError
from svmove.outcomes import Outcome, State

Yes = Annotated[bool, typer.Option("--yes", "-y", help="don't ask")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="say what would be kept and lost, and do nothing")]


def accept(context: typer.Context, move: Id, yes: Yes = False, dry_run: DryRun = False, json: plan.Json = False) -> int:
    """Take a held move forward: to its destinations."""
    return _decide(context, move, Way.FORWARD, yes=yes, dry_run=dry_run, json=json)


def rollback(
    context: typer.Context, move: Id, yes: Yes = False, dry_run: DryRun = False, json: plan.Json = False
) -> int:
    """Take a held move back to its source pools; nothing that the guest wrote since is lost."""
    return _decide(context, move, Way.BACK, yes=yes, dry_run=dry_run, json=json)


def _decide(context: typer.Context, move: str, way: Way, *, yes: bool, dry_run: bool, json: bool) -> int:
    if not (yes or dry_run) and (json or not sys.stdin.isatty()):
        raise UsageError("nobody can be asked here", remedy="look with --dry-run, then say --yes")

    def work() -> int:
        from svmove.view import document, panes, tables

        mover = options(context).walker()
        decision = mover.decide(move, way)
        if dry_run and json:
            print_json(document.decision(decision))
            return Exit.OK
        if not yes:
            tables.show(stdout() if dry_run else stderr(), panes.decision(decision))
            if dry_run:
                return Exit.OK
            if not typer.confirm("Go on?", err=True):
                return Exit.HELD
        act = mover.accept if way is Way.FORWARD else mover.rollback
        return watched(
            lambda listener, cancel: act(move, listener=listener, cancel=cancel),
            json=json,
            code=of_outcome if way is Way.FORWARD else as_asked,
        )

    return documented(work, domain=None, json=json)


def as_asked(outcome: Outcome) -> Exit:
    """Of a command that was to go back: rolled back, or moved back, is what was wanted."""
    return Exit.OK if outcome.state in (State.ROLLED_BACK, State.DONE) else of_outcome(outcome)
