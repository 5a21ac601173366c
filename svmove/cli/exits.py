"""Exit codes and error documents: the contract of the command line, in this one place.

| code | meaning |
| --- | --- |
| 0 | done, or already there |
| 1 | a fault in svmove itself: please report it |
| 2 | usage: the command line or the policy has no meaning |
| 3 | refused: nothing was touched |
| 4 | rolled back: the guest is on its source, nothing is left behind |
| 5 | held: both copies are kept, a person decides |
| 6 | libvirt or its host can't be reached |
| 130 | interrupted, and rolled back |
"""

from enum import IntEnum

from svmove.errors import SvmoveError, UnreachableError, UsageError
from svmove.outcomes import Failure, GuestOn, Outcome, Seconds, State
from svmove.requests import Method


class Exit(IntEnum):
    OK = 0
    FAULT = 1
    USAGE = 2
    REFUSED = 3
    ROLLED_BACK = 4
    HELD = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


_STATES = {
    State.DONE: Exit.OK,
    State.ALREADY_THERE: Exit.OK,
    State.REFUSED: Exit.REFUSED,
    State.ROLLED_BACK: Exit.ROLLED_BACK,
    State.HELD: Exit.HELD,
    State.HANDED_OVER: Exit.OK,
    State.STARTED: Exit.OK,
}


def of_outcome(outcome: Outcome) -> Exit:
    code = outcome.error.code if outcome.error else None
    if code == UnreachableError.code:
        return Exit.UNREACHABLE
    if code == "interrupted" and outcome.state is State.ROLLED_BACK:
        return Exit.INTERRUPTED
    return _STATES[outcome.state]


def of_error(error: SvmoveError) -> Exit:
    """Of an error before anything was touched."""
    if isinstance(error, UsageError):
        return Exit.USAGE
    if isinstance(error, UnreachableError):
        return Exit.UNREACHABLE
    return Exit.REFUSED


def refused(domain: str | None, error: SvmoveError) -> Outcome:
    """The outcome of a move that an error ended before it began."""
    return Outcome(
        move=None,
        domain=domain,
        state=State.REFUSED,
        method=Method.MIRROR,
        disks=(),
        seconds=Seconds(),
        findings=(),
        error=Failure(code=error.code, text=error.text, guest_on=GuestOn.UNKNOWN, remedy=error.remedy),
    )
