"""What all of the fake `Hypervisor`'s rooms stand on."""

from svmove.errors import HypervisorError, NotFoundError
from svmove.model import DomainState
from tests.fake.things import Drive
from tests.fake.world import World


class Base:
    room = "virt"

    def __init__(self, world: World) -> None:
        self.world = world

    def _known(self, uuid: str) -> None:
        if uuid != self.world.uuid:
            raise NotFoundError("domain", uuid)

    def _drive(self, target: str) -> Drive:
        if self.world.state is DomainState.OFF:
            raise HypervisorError("domain is not running")
        return self.world.drives[target]
