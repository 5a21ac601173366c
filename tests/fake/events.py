"""The time of the world, and the events that come with it."""

from svmove.events import Event
from tests.builders import NOW
from tests.fake.faults import counted
from tests.fake.world import World


class FakeClock:
    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> float:
        return NOW + self.world.time

    def monotonic(self) -> float:
        return self.world.time

    def sleep(self, seconds: float) -> None:
        self.world.pass_time(seconds)


class FakeEvents:
    # Finer than all that svmove waits for, coarse enough to get through 30 s quickly.
    _STEP = 0.05
    room = "virt"

    def __init__(self, world: World) -> None:
        self.world = world

    @counted
    def next(self, timeout: float) -> Event | None:
        queue, end = self.world.events, self.world.time + timeout
        assert queue is not None
        while not queue and self.world.time < end:
            # Never less than a microsecond, or rounding would stop the time.
            self.world.pass_time(max(min(self._STEP, end - self.world.time), 1e-6))
        return queue.popleft() if queue else None
