"""Every fault ends with the same looks, so that no test forgets one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from svmove.journal import Journal
from svmove.model import DomainState
from svmove.move.outcome import of_record
from svmove.mover import Mover
from svmove.outcomes import Outcome, State
from svmove.policy import Policy
from svmove.ports import Clock
from svmove.requests import DiskRequest, Method, Request
from tests.real.faults import record
from tests.real.faults.points import Act, Once, Point, watched
from tests.real.world import GUEST, World, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/real/faults" in str(item.path) and item.get_closest_marker("chosen") is None:
            item.add_marker(pytest.mark.fault)


class Scene:
    """The lab's writing guest, a move of its vdb, and one fault."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: set[Path] = set()  # what a test left in the pools itself
        self.set()

    def set(self) -> None:
        """Before a move: from where vdb is to where it is not."""
        self.source = self.world.path("vdb")
        self.to = self.world.other("vdb")
        self.destination = self.world.lab.paths.pool(self.to) / self.source.name

    def mover(self, once: Once | None = None, policy: Policy | None = None, clock: Clock | None = None) -> Mover:
        if once is None:
            return self.world.mover(policy=policy, clock=clock)
        return watched(self.world, once, policy=policy, clock=clock)

    def move(
        self,
        point: Point,
        act: Act,
        *,
        policy: Policy | None = None,
        clock: Clock | None = None,
        bandwidth: int | None = 100 << 20,
        disks: tuple[str, ...] = ("vdb",),
        to: str | None = None,
        deadline: float | None = None,
        method: Method = Method.AUTO,
    ) -> Outcome:
        """A move of vdb in which that happens at that point. 100 MiB/s: 2.6 s of copying."""
        once = Once(point, act)
        asked = tuple(DiskRequest(target=target) for target in disks)
        outcome = self.mover(once, policy, clock).move(
            Request(domain=GUEST, to=to or self.to, disks=asked, bandwidth=bandwidth, deadline=deadline, method=method)
        )
        assert once.happened, f"the move never was {point}: {outcome}"
        return outcome

    def ended(self, move: str | None) -> Outcome:
        return of_record(Journal(str(self.world.cli.journal)).read(move or ""))

    def where(self) -> str:
        """In words, as it was seen."""
        domain = self.world.domain()
        disk = domain.disk("vdb") or domain.inactive_disk("vdb")
        assert disk is not None
        side = {self.source: "source", self.destination: "destination"}.get(Path(disk.path or ""), str(disk.path))
        state = "off, next start from the" if domain.state is DomainState.OFF else f"{domain.state} on the"
        return f"{state} {side}"


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world)


Ended = Callable[..., None]


@pytest.fixture
def row(scene: Scene, request: pytest.FixtureRequest) -> Ended:
    """Call it at the end: it looks at all that must hold after a fault, and writes the row."""
    group = (request.node.getparent(pytest.Module).obj.__doc__ or "").partition(".")[0]

    def ended(fault: str, point: str, outcome: Outcome, *, left: str = "nothing", guest: str = "") -> None:
        """`guest`: where it is, if it is not the lab's."""
        guest = guest or scene.where()
        domain = scene.world.domain()
        if domain.state is DomainState.OFF:
            assert all(Path(disk.path or "").exists() for disk in domain.inactive)
            scene.world.start_guest()
        scene.world.lab.check()
        _no_orphans(scene, outcome)
        code = f": {outcome.error.code}" if outcome.error else ""
        row = record.Row(group=group, fault=fault, point=point, ended=f"{outcome.state}{code}", guest=guest, left=left)
        record.write(row)

    return ended


def _no_orphans(scene: Scene, outcome: Outcome) -> None:
    world = scene.world
    domain = world.domain()
    held = outcome.state is State.HELD
    assert (domain.marker is not None) == held, f"marker {domain.marker} after {outcome.state}"
    used = {Path(disk.path or "") for disk in domain.live}
    told = {path for path in world.files() for finding in outcome.findings if str(path) in finding.text} | scene.kept
    if held:
        told |= {Path(path) for disk in outcome.disks for path in (disk.source, disk.destination)}
    assert world.files() - used - told == set(), "a volume without an owner"
    assert all(path.exists() for path in used), "a file that the guest uses is gone"
    process = world.host.process(domain.uuid)
    assert process is not None
    open_files = [str(f.readlink()) for f in Path(f"/proc/{process.pid}/fd").iterdir()]
    assert not [f for f in open_files if f.endswith("(deleted)") and "/pools/" in f]
    assert not list(world.cli.scratch.glob("*")), "scratch files were left"


__all__ = ["Ended", "Scene", "row", "scene", "until"]
