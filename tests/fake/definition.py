"""What the fake world's guest is to start from, and what its definition remembers."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from svmove.errors import HypervisorError
from svmove.location import Secret
from svmove.model import DomainState, MarkedDisk
from svmove.volumes import NVRAM, DiskPlan
from tests.fake.base import Base
from tests.fake.faults import ViolationError, counted


class FakeDefinition(Base):
    @counted
    def set_marker(self, uuid: str, move: str | None, disks: Sequence[DiskPlan] = ()) -> None:
        self._known(uuid)
        self.world.marker = move
        self.world.marked = tuple(
            MarkedDisk(
                target=disk.target,
                source=disk.source,
                source_format=disk.source_format,
                destination=disk.destination.path,
                destination_format=disk.destination.format,
                pool=disk.destination.pool,
                volume=disk.destination.name,
                overlay=disk.overlay.source.path if disk.overlay else "",
                overlay_destination=disk.overlay.destination.path if disk.overlay else "",
                source_luks=str(disk.source_luks or ""),
                destination_luks=str(disk.destination.luks or ""),
            )
            for disk in disks
        )

    @counted
    def lost_bitmaps(self, uuid: str) -> Mapping[str, Collection[str]]:
        self._known(uuid)
        if self.world.state is DomainState.OFF:
            return {}
        pivoted = {t for t, drive in self.world.drives.items() if not drive.path.startswith("/pools/slow/")}
        raw = {t for t, drive in self.world.drives.items() if self.world.files[drive.path].format == "raw"}
        found = {
            name: sorted(targets & (raw | (pivoted if name in self.world.lost else set())))
            for name, targets in self.world.checkpoints.items()
        }
        return {name: targets for name, targets in found.items() if targets}

    @counted
    def forget_checkpoint(self, uuid: str, name: str, targets: Collection[str]) -> None:
        self._known(uuid)
        if name in self.world.checkpoints:
            self.world.checkpoints[name] -= set(targets)
            if not self.world.checkpoints[name]:
                del self.world.checkpoints[name]

    @counted
    def set_sources(
        self,
        uuid: str,
        sources: Mapping[str, tuple[str, str]],
        *,
        running: bool,
        keys: Mapping[str, Secret | None] = MappingProxyType({}),
        slices: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._known(uuid)
        off = self.world.state is DomainState.OFF
        if off is running:
            raise HypervisorError("the domain was started or stopped meanwhile")
        if NVRAM in sources and NVRAM not in self.world.drives:
            raise HypervisorError("the domain has no UEFI variables")
        for target, (path, _format) in sources.items():
            drive = self.world.drives[target]
            drive.inactive = path
            if keys.get(path) != self.world.files[path].luks:
                raise ViolationError(f"the next start would read {path} without its key")
            if path in self.world.larger and path not in slices:
                raise ViolationError(f"the guest would see all of {path}")
            self.world.sliced |= {path: slices[path]} if path in slices else {}
            if off:
                drive.path, drive.file = path, self.world.files[path]

    @counted
    def redirect_snapshots(self, uuid: str, moved: Mapping[str, str]) -> None:
        self._known(uuid)

    @counted
    def change_medium(self, uuid: str, target: str, path: str, format_: str, *, live: bool, config: bool) -> None:
        self._known(uuid)
        medium = self.world.media[target]
        if path not in self.world.files:
            raise HypervisorError(f"{path}: No such file or directory")
        off = self.world.state is DomainState.OFF
        if live and off:
            raise HypervisorError("domain is not running")
        if live and medium.locked:
            raise HypervisorError(f"tray of disk '{target}' is locked")
        if config:
            medium.inactive = path
        if live or off:
            medium.path, medium.file = path, self.world.files[path]
