"""`svmove evacuate`: a pool is emptied, each guest by a move in a process of its own."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svmove.cli import complete, plan
from svmove.cli.context import Options, options, print_json, stderr, stdout
from svmove.cli.documented import documented
from svmove.cli.exits import Exit
from svmove.cli.hosts import each
from svmove.cli.move import launch
from svmove.outcomes import Outcome, State
from svmove.requests import Request

if TYPE_CHECKING:
    from svmove.host.detach import Process
    from svmove.mover import Mover
    from svmove.proposals import Emptied

# Takes the document of one host.
Show = Callable[[dict[str, Any]], None]
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def evacuate(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(metavar="POOL", autocompletion=complete.pools)],
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="POOL", help="one of the pools to fill, may be repeated", autocompletion=complete.pools
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would be moved where, and what can't")
    ] = False,
    end: Annotated[bool, typer.Option("--end", help="let the pool take new disks again")] = False,
    parallel: Annotated[int, typer.Option("--parallel", min=1, metavar="N", help="so many guests at a time")] = 2,
    json: plan.Json = False,
) -> int:
    """Empty a pool: move every disk that can move, and tell first what can't and why. Until --end nothing new is placed
    there. Once more after an interruption, it goes on."""

    told: list[tuple[str, dict[str, Any]]] = []

    def on(host: str, given: Options) -> int:
        if len(options(context).hosts()) > 1 and not json:
            stdout().print(f"{host}:", markup=False)
        show = (lambda document: told.append((host, document))) if json else None
        if end:
            return _end(given, pool, show)
        if dry_run:
            found = given.placer().evacuation(pool, tuple(to or ()), at_once=parallel)
            from svmove.view import placement, tables

            if show is not None:
                show(placement.evacuation_document(found))
            else:
                tables.show(stdout(), placement.evacuation(found))
            return Exit.OK
        return _empty(given, pool, tuple(to or ()), parallel, show)

    def work() -> int:
        code = each(options(context), on)
        if len(options(context).hosts()) > 1 and json:
            print_json({"schema": 1, "hosts": [{"host": host, **document} for host, document in told]})
        elif json:
            print_json(told[0][1])
        return code

    return documented(work, domain=None, json=json)


class _Processes:
    """`Workers`: each move goes on when this process ends, and when its terminal does."""

    def __init__(self, given: Options, mover: "Mover") -> None:
        self._given = given
        self._mover = mover
        self._processes: dict[str, Process] = {}

    def begin(self, request: Request) -> Outcome:
        return self._mover.begin(request)

    def start(self, move: str) -> None:
        journal = self._mover.journal
        if journal.owner(move) is None:
            self._processes[move] = launch(self._given, journal, move)

    def ended(self, move: str) -> Outcome | None:
        process = self._processes.get(move)
        if (process is not None and process.poll() is None) or self._mover.journal.owner(move) is not None:
            return None
        return self._mover.recorded(move)


def _empty(given: Options, pool: str, to: tuple[str, ...], parallel: int, show: Show | None) -> int:
    from svmove.campaign import Campaign
    from svmove.clock import SystemClock
    from svmove.view import placement, tables

    mover, placer = given.mover(), given.placer()
    campaign = Campaign(
        uri=mover.uri,
        pool=pool,
        plan=lambda: placer.evacuation(pool, to, at_once=parallel),
        workers=_Processes(given, mover),
        journal=mover.journal,
        clock=SystemClock(),
        told=lambda text: stderr().print(text, markup=False),
        at_once=parallel,
    )
    with _interrupted(pool) as cancel:
        found = campaign.run(cancel)
    if show is not None:
        show(placement.emptied_document(found))
    else:
        tables.show(stdout(), placement.emptied(found))
    return _code(found)


def _code(found: "Emptied") -> Exit:
    states = {outcome.state for outcome in found.failed}
    if found.interrupted:
        return Exit.INTERRUPTED
    if State.HELD in states:
        return Exit.HELD
    if State.ROLLED_BACK in states:
        return Exit.ROLLED_BACK
    return Exit.REFUSED if states or found.evacuation.stays else Exit.OK


def _end(given: Options, pool: str, show: Show | None) -> int:
    mover = given.mover()
    was = mover.journal.campaigns.end(mover.uri, pool)
    if show is not None:
        show({"schema": 1, "pool": pool, "state": "ended" if was else "not-emptied"})
    else:
        stdout().print(f"{pool} takes new disks again" if was else f"{pool} was not being emptied", markup=False)
    return Exit.OK


@contextmanager
def _interrupted(pool: str) -> Iterator[threading.Event]:
    """Of a Ctrl-C: no more guests are begun. The moves under way are not reached by it."""
    cancel = threading.Event()

    def heed(_number: int, _frame: object) -> None:
        if not cancel.is_set():
            cancel.set()
            text = f"nothing more is begun; what is under way goes on (svmove tasks); go on: svmove evacuate {pool}"
            stderr().print(text, markup=False)

    before = {number: signal.signal(number, heed) for number in _SIGNALS}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
