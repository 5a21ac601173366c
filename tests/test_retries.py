"""What is tried again, and what is kept of that."""

import pytest
import tenacity

from svmove.errors import HypervisorError, UnreachableError
from svmove.retries import Retries, RetryPolicy

QUICK = RetryPolicy(attempts=3, first_wait=0.001, longest_wait=0.002, jitter=0.0)


class Call:
    def __init__(self, *errors: Exception) -> None:
        self.errors, self.made = list(errors), 0

    def __call__(self) -> str:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def busy(text: str = "busy") -> HypervisorError:
    return HypervisorError(text, transient=True)


def transient(error: BaseException) -> bool:
    return isinstance(error, HypervisorError) and error.transient


def test_what_passes_by_itself_is_tried_again_and_each_attempt_is_kept_once() -> None:
    retries, call = Retries(QUICK), Call(busy("one"), busy("two"))
    assert retries.of_call(transient)(call) == "done"
    assert [(retry.attempt, retry.text) for retry in retries.taken()] == [(1, "one"), (2, "two")]
    assert retries.taken() == ()


def test_after_the_last_attempt_its_error_is_raised() -> None:
    retries, call = Retries(QUICK), Call(*(busy(str(number)) for number in range(9)))
    with pytest.raises(HypervisorError, match="2"):
        retries.of_call(transient)(call)
    assert call.made == 3


def test_what_does_not_pass_is_not_tried_again() -> None:
    retries, call = Retries(QUICK), Call(HypervisorError("no"))
    with pytest.raises(HypervisorError):
        retries.of_call(transient)(call)
    assert (call.made, retries.taken()) == (1, ())


def test_the_total_time_ends_it_whatever_attempts_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    retries = Retries(RetryPolicy(attempts=99, first_wait=0.01, longest_wait=0.01, jitter=0.0, total=0.03))
    call = Call(*(busy() for _ in range(99)))
    with pytest.raises(HypervisorError):
        retries.of_call(transient)(call)
    assert call.made < 10


def test_the_waits_grow_to_the_longest_and_jitter_is_added() -> None:
    policy = RetryPolicy(attempts=9, first_wait=0.2, longest_wait=1.0, jitter=0.5)
    waits: list[float] = []
    made = Retries(policy).of_call(transient).copy(sleep=waits.append)
    with pytest.raises(HypervisorError):
        made(Call(*(busy() for _ in range(9))))
    least = [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert all(low <= wait <= low + 0.5 for low, wait in zip(least, waits, strict=True))
    assert len({round(wait - low, 6) for low, wait in zip(least, waits, strict=True)}) > 4


def test_a_connection_is_waited_for_as_long_as_the_policy_says() -> None:
    retries = Retries(RetryPolicy(first_wait=0.001, longest_wait=0.002, jitter=0.0, reconnect=5.0))
    call = Call(*(UnreachableError("gone") for _ in range(20)))
    assert retries.of_connection(UnreachableError)(call) == "done"
    assert len(retries.taken()) == 20
    impatient = Retries(RetryPolicy(first_wait=0.001, reconnect=0.0))
    with pytest.raises(UnreachableError):
        impatient.of_connection(UnreachableError)(Call(UnreachableError("gone")))


def test_it_is_tenacity_that_waits() -> None:
    assert isinstance(Retries(QUICK).of_call(transient), tenacity.Retrying)
