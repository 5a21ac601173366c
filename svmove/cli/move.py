"""`svmove move`."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import of_outcome
from svmove.cli.interrupt import interruptible

if TYPE_CHECKING:
    from svmove.moves import Outcome
    from svmove.ports import Cancel, Listener


def move(
    context: typer.Context,
    domain: plan.Domain,
    to: plan.To = None,
    disk: plan.Disks = None,
    format_: plan.Format = "keep",
    bandwidth: plan.Bandwidth = None,
    verify: plan.Verification = "cutover",
    keep_source: plan.KeepSource = False,
    max_pause: plan.MaxPause = None,
    json: plan.Json = False,
) -> int:
    """Move the disks of a running guest to another pool, and prove every byte."""
    request = plan.request(domain, to, disk, format_, bandwidth, verify, keep_source, max_pause)

    def work() -> int:
        mover = options(context).mover()
        return watched(lambda listener, cancel: mover.move(request, listener=listener, cancel=cancel), json=json)

    return documented(work, domain=domain, json=json)


def watched(work: "Callable[[Listener, Cancel], Outcome]", *, json: bool) -> int:
    """Runs a move with progress and signals, prints its outcome, and returns the exit code."""
    from svmove.view.progress import ProgressView

    with ProgressView(stderr()) as view, interruptible(lambda: view.phase) as cancel:
        outcome = work(view.heed, cancel)
    with suppress(OSError):  # a terminal that was closed meanwhile; the exit code still tells
        if json:
            from svmove.view import document

            print_json(document.move(outcome))
        else:
            from svmove.view import tables

            tables.show(stdout(), tables.outcome(outcome))
    return of_outcome(outcome)
