"""Moves that are carried out for a campaign, each by a process of its own, and how such a campaign ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from svmove.cli.context import Options, stderr
from svmove.cli.exits import Exit
from svmove.cli.move import launch
from svmove.outcomes import Outcome, State
from svmove.proposals import Carried
from svmove.requests import Request

if TYPE_CHECKING:
    from svmove.host.detach import Process
    from svmove.mover import Mover

P = TypeVar("P")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Processes:
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


def carried(found: Carried[P], *, left: bool) -> Exit:
    """`left`: something that could not even be tried."""
    states = {outcome.state for outcome in found.failed}
    if found.interrupted:
        return Exit.INTERRUPTED
    if State.HELD in states:
        return Exit.HELD
    if State.ROLLED_BACK in states:
        return Exit.ROLLED_BACK
    return Exit.REFUSED if states or left else Exit.OK


@contextmanager
def interrupted(again: str) -> Iterator[threading.Event]:
    """Of a Ctrl-C: no more guests are begun. The moves under way are not reached by it. `again`: what goes on."""
    cancel = threading.Event()

    def heed(_number: int, _frame: object) -> None:
        if not cancel.is_set():
            cancel.set()
            text = f"nothing more is begun; what is under way goes on (svmove tasks); go on: {again}"
            stderr().print(text, markup=False)

    before = {number: signal.signal(number, heed) for number in _SIGNALS}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
