"""The agent inside the fake world's guest."""

from svmove.errors import HypervisorError
from svmove.model import Agent, DomainState
from tests.fake.base import Base
from tests.fake.faults import counted


class FakeAgent(Base):
    @counted
    def agent(self, uuid: str, seconds: float) -> Agent:
        if self.world.time < self.world.busy_until:
            self.world.pass_time(seconds)
            return Agent.SILENT
        answers = self.world.state is DomainState.RUNNING and not self.world.frozen
        return Agent.SILENT if self.world.agent is Agent.ANSWERS and not answers else self.world.agent

    def _told(self, uuid: str, seconds: float) -> None:
        self._known(uuid)
        if self.world.state is not DomainState.RUNNING:
            raise HypervisorError("domain is not running")
        if self.world.agent is not Agent.ANSWERS:
            self.world.pass_time(seconds)
            raise HypervisorError("Guest agent is not responding")

    @counted
    def trim(self, uuid: str, seconds: float) -> None:
        self._told(uuid, seconds)
        for drive in self.world.drives.values():
            for block in self.world.unused:
                drive.file.blocks[block] = drive.truth[block] = 0
        if self.world.trim_takes > seconds:
            self.world.busy_until = self.world.time + self.world.trim_takes
            self.world.pass_time(seconds)
            raise HypervisorError("Guest agent is not responding: guest agent command timed out")

    @counted
    def freeze(self, uuid: str, seconds: float) -> int:
        self._told(uuid, seconds)
        if self.world.frozen:
            raise HypervisorError("the agent is in frozen state")
        self.world.frozen = True
        self.world.pass_time(self.world.freeze_takes)
        return 1

    @counted
    def thaw(self, uuid: str, seconds: float) -> int:
        self._told(uuid, seconds)
        was, self.world.frozen = self.world.frozen, False
        return int(was)
