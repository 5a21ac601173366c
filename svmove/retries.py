"""What is tried again, how often and for how long: the one place where that is decided, from the policy."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from svmove.objections import Objection

if TYPE_CHECKING:
    import tenacity


# qemu-img measures how long a key takes on this CPU, and gives up when others take the time away.
UNMEASURED = "Unable to get accurate CPU usage"


class Code(StrEnum):
    """libvirt's errors that may pass by themselves: VIR_ERR_ and the name."""

    OPERATION_TIMEOUT = "operation-timeout"  # "cannot acquire state change lock": another client works on the domain
    RESOURCE_BUSY = "resource-busy"
    AGENT_UNRESPONSIVE = "agent-unresponsive"
    AGENT_UNSYNCED = "agent-unsynced"
    OPERATION_FAILED = "operation-failed"
    OPERATION_UNSUPPORTED = "operation-unsupported"
    SYSTEM_ERROR = "system-error"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Limits of every retry in the program. Only reads and idempotent acts are retried."""

    attempts: int = field(default=6, metadata={"least": 1})
    first_wait: float = field(default=0.2, metadata={"unit": "duration"})
    longest_wait: float = field(default=5.0, metadata={"unit": "duration"})
    # At random, up to so much more: those who failed together must not come again together.
    jitter: float = field(default=0.2, metadata={"unit": "duration"})
    # Of one call, with all its attempts and waits. libvirt itself waits 30 s for a domain that others work on.
    total: float = field(default=90.0, metadata={"unit": "duration"})
    codes: tuple[Code, ...] = (Code.OPERATION_TIMEOUT, Code.RESOURCE_BUSY)
    # A libvirt daemon that is restarted (package upgrade), or a host's service that hangs, is back within this time.
    reconnect: float = field(default=120.0, metadata={"unit": "duration"})

    def objections(self) -> Iterator[Objection]:
        if self.first_wait > self.longest_wait:
            yield Objection(
                keys=("first_wait", "longest_wait"),
                text="is longer than longest_wait",
                remedy="the waits grow from the first to the longest",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """An attempt that failed, after which another one was made."""

    at: float  # Unix time
    attempt: int  # from 1
    wait: float  # seconds, before the next one
    text: str  # the error


class Retries:
    """Makes what retries, and keeps what was. For use by several threads."""

    # A daemon that is gone for 2 minutes is asked about 30 times.
    _MOST = 200

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._seen: deque[Retry] = deque(maxlen=self._MOST)

    def taken(self) -> tuple[Retry, ...]:
        """Those since it was asked last."""
        found = []
        while self._seen:
            found.append(self._seen.popleft())
        return tuple(found)

    def of_call(self, again: Callable[[BaseException], bool]) -> "tenacity.Retrying":
        """`again`: whether an error may pass by itself."""
        import tenacity  # 15 ms, which not every command needs

        stop = tenacity.stop_after_attempt(self._policy.attempts) | tenacity.stop_after_delay(self._policy.total)
        return self._made(stop, tenacity.retry_if_exception(again))

    def of_connection(self, lost: type[BaseException]) -> "tenacity.Retrying":
        import tenacity

        return self._made(tenacity.stop_after_delay(self._policy.reconnect), tenacity.retry_if_exception_type(lost))

    def _made(self, stop: "tenacity.stop.stop_base", again: "tenacity.retry_base") -> "tenacity.Retrying":
        import tenacity

        first, longest = self._policy.first_wait, self._policy.longest_wait
        wait = tenacity.wait_exponential(multiplier=first, max=longest) + tenacity.wait_random(0, self._policy.jitter)
        return tenacity.Retrying(stop=stop, wait=wait, retry=again, before_sleep=self._noted, reraise=True)

    def _noted(self, state: "tenacity.RetryCallState") -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        wait = state.next_action.sleep if state.next_action is not None else 0.0
        self._seen.append(Retry(at=time.time(), attempt=state.attempt_number, wait=wait, text=str(error)))
