"""Pools, volumes and secrets of the fake world."""

from svmove import location
from svmove.errors import HypervisorError
from svmove.location import Secret, SecretState
from svmove.model import Pool, Volume
from svmove.volumes import VolumeSpec
from tests.fake.base import Base
from tests.fake.faults import counted
from tests.fake.things import BLOCK, BLOCKS


class FakeStorage(Base):
    @counted
    def secret_state(self, secret: Secret) -> SecretState:
        return self.world.secrets.get(secret, SecretState.MISSING)

    @counted
    def pools(self) -> tuple[Pool, ...]:
        return tuple(self.world.pools.values())

    @counted
    def refresh_pool(self, pool: str) -> None:
        pass

    @counted
    def volume_names(self, pool: str) -> frozenset[str]:
        where = self.world.pools[pool].location or ""
        names = (location.volume(where, path) for path in self.world.files)
        return frozenset(name for name in names if name is not None)

    @counted
    def volume_at(self, path: str) -> Volume | None:
        if path not in self.world.files:
            return None
        for pool in self.world.pools.values():
            if (name := location.volume(pool.location or "", path)) is not None:
                size = BLOCKS * BLOCK
                return Volume(pool=pool.name, name=name, path=path, capacity=size, allocation=size)
        return None

    @counted
    def create_volume(self, spec: VolumeSpec) -> Volume:
        if spec.path in self.world.files:
            raise HypervisorError(f"storage volume name '{spec.name}' already in use.")
        made = self.world.make_file(spec.path)
        made.format, made.luks = spec.format, None if spec.header else spec.luks
        if location.is_device(spec.path):  # a volume group's extents have what lay there before
            made.blocks = [99] * BLOCKS
        if spec.backing is not None:
            made.below = self.world.files[spec.backing]
        return Volume(pool=spec.pool, name=spec.name, path=spec.path, capacity=spec.length, allocation=0)

    @counted
    def delete_volume(self, pool: str, name: str, path: str) -> None:
        if path != location.child(self.world.pools[pool].location or "", name):
            raise HypervisorError(f"pool {pool} has {name} elsewhere")
        if path in self.world.files:
            self.world.check_deletion(path)
            del self.world.files[path]
            self.world.check_copies()
