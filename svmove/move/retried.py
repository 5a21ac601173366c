"""What was tried again, for the move's history."""

from collections.abc import Sequence

from svmove.move.context import Move
from svmove.retries import Retry
from svmove.units import show_duration


def tell(move: Move, taken: Sequence[Retry]) -> None:
    for retry in taken:
        move.note("retried", at=retry.at, attempt=retry.attempt, wait=round(retry.wait, 3), error=retry.text)
        move.say(text=f"tried again after {show_duration(retry.wait)}: {retry.text}")
