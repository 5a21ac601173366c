"""`svmove move`, and how every command that walks a move is watched and told."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from svmove.cli import plan
from svmove.cli.context import Options, options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit, of_outcome
from svmove.cli.interrupt import interruptible
from svmove.errors import HostError
from svmove.outcomes import Outcome, State
from svmove.requests import Request

if TYPE_CHECKING:
    from svmove.host.detach import Process
    from svmove.journal import Journal
    from svmove.mover import Mover
    from svmove.ports import Cancel, Listener

# A Python that starts on a busy machine.
_START = 20.0


def move(
    context: typer.Context,
    domain: plan.Domain,
    to: plan.To = None,
    disk: plan.Disks = None,
    format_: plan.Format = "keep",
    bandwidth: plan.Bandwidth = None,
    verify: plan.Verification = None,
    keep_source: plan.KeepSource = False,
    keep_for: plan.KeepFor = None,
    delete_source: plan.DeleteSource = False,
    max_pause: plan.MaxPause = None,
    deadline: plan.Deadline = None,
    at: plan.At = None,
    method: plan.How = "auto",
    flatten: plan.Flatten = False,
    base: plan.Base = "copy",
    allocation: plan.Room = "keep",
    trim: plan.Trim = False,
    freeze: plan.Freeze = False,
    overwrite: plan.Overwrite = False,
    encrypt: plan.Encrypt = None,
    decrypt: plan.Decrypt = False,
    priority: Annotated[
        str,
        typer.Option("--priority", metavar="high|normal|low", help="among the moves that wait for a slot"),
    ] = "normal",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="refuse when no slot is free, and don't wait for one")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="go on in the background, and print the id (svmove wait ID)")
    ] = False,
    json: plan.Json = False,
) -> int:
    """Move the disks of a guest to another pool, while it runs or while it is off, and prove every byte."""
    request = plan.request(context.params)

    def work() -> int:
        mover = options(context).walker()
        if detach:
            return _detached(options(context), mover, request, json=json)
        return watched(lambda listener, cancel: mover.move(request, listener=listener, cancel=cancel), json=json)

    return documented(work, domain=domain, json=json)


def _detached(given: Options, mover: "Mover", request: Request, *, json: bool) -> int:
    begun = mover.begin(request)
    if begun.move is None:
        tell(begun, json=json)
        return of_outcome(begun)
    return carry_on(given, mover, begun.move, begun, json=json)


def carry_on(given: Options, mover: "Mover", move: str, begun: Outcome, *, json: bool) -> int:
    """In the background; `begun` is told when it has not ended at once."""
    if launch(given, mover.journal, move).poll() is None:
        begun = dataclasses.replace(begun, state=State.STARTED, error=None)
        tell(begun, json=json, text=move)
        return Exit.OK
    ended = mover.recorded(move)
    tell(ended, json=json)
    return of_outcome(ended)


def launch(given: Options, journal: "Journal", move: str) -> "Process":
    """A process of its own that carries the move on; it works on it, or has ended. Raises HostError."""
    from svmove.host import detach

    log = journal.folder / "logs" / f"{move}.log"
    process = detach.start(["resume", move], given.environment(), log)
    deadline = time.monotonic() + _START
    while journal.owner(move) is None and process.poll() is None:
        if time.monotonic() > deadline:
            raise HostError(f"process {process.pid} does not begin", remedy=f"see {log}; svmove resume {move}")
        time.sleep(0.02)
    return process


def watched(
    work: "Callable[[Listener, Cancel], Outcome]", *, json: bool, code: Callable[[Outcome], Exit] = of_outcome
) -> int:
    """Runs a move with progress and signals, prints its outcome, and returns the exit code."""
    outcome = walk(work)
    tell(outcome, json=json)
    return code(outcome)


def walk(work: "Callable[[Listener, Cancel], Outcome]") -> Outcome:
    from svmove.view.progress import ProgressView

    with ProgressView(stderr()) as view, interruptible(lambda: view.phase) as cancel:
        return work(view.heed, cancel)


def tell(outcome: Outcome, *, json: bool, text: str | None = None) -> None:
    """`text`: in place of the table."""
    with suppress(OSError):  # a terminal that was closed meanwhile; the exit code still tells
        if json:
            from svmove.view import document

            print_json(document.move(outcome))
        elif text is not None:
            print(text)
        else:
            from svmove.view import tables

            tables.show(stdout(), tables.outcome(outcome))
