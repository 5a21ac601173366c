"""Which method moves the disks, and why: a table of rules, the first that says something counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from svmove.model import CopyWay, Disk, DomainState, Inventory, Versions
from svmove.plan import known_bad, places, sharing
from svmove.plan.choice import Choice
from svmove.plan.faults import Harm, show, version
from svmove.plan.granularity import COARSE, dirties
from svmove.policy import Policy
from svmove.requests import Method, Request, Verify
from svmove.units import GiB, show_rate, show_size
from svmove.volumes import DiskPlan

# What this version can carry out (`svmove.move.methods.STEPS`, a floor above; a test holds them together).
AVAILABLE: tuple[Method, ...] = (Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT, Method.OFFLINE)

# VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
SYNCHRONOUS_FROM = version("8.0")

# A snapshot's overlay, its second cutover and the commit take about a second: as long as a mirror of this.
_PAYS = 1 * GiB
# A guest that dirties more than this part of the copy's rate may outrun it when the rate falls a little.
_NEARLY = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    request: Request
    inventory: Inventory
    policy: Policy
    choices: Sequence[Choice] = ()  # without those that are already there
    disks: Sequence[DiskPlan] = ()
    copy_rate: float = 0.0  # expected of the whole move, bytes per second

    @property
    def copy_bytes(self) -> int:
        return sum(disk.copy_bytes for disk in self.disks)

    @property
    def dirty_rate(self) -> float:
        """What the guest makes a mirror copy again, bytes per second, as it writes now."""
        writes = self.inventory.writes
        return sum(
            dirties(writes[disk.target], disk.granularity or COARSE) for disk in self.disks if disk.target in writes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    method: Method
    why: str

    def verify(self, asked: Verify | None) -> Verify:
        """What was asked, or else the method's own way."""
        if self.method is Method.OFFLINE:  # there is no other moment
            return Verify.NONE if asked is Verify.NONE else Verify.BEFORE
        if asked is not None:
            return asked
        return Verify.BEFORE if self.method is Method.SNAPSHOT else Verify.CUTOVER


# The rules, in their order


def asked(facts: Facts) -> Chosen | None:
    if facts.request.method is Method.AUTO:
        return None
    return Chosen(method=facts.request.method, why="as asked")


def off(facts: Facts) -> Chosen | None:
    if facts.inventory.domain.state is not DomainState.OFF:
        return None
    return _of(Method.OFFLINE, "the guest is off")


def proof_before(facts: Facts) -> Chosen | None:
    """Admission says no when the snapshot is not possible: another method could not do what is asked."""
    if facts.request.verify is not Verify.BEFORE or not facts.inventory.domain.live:
        return None
    return _of(Method.SNAPSHOT, "everything is to be proven before the switch")


def shared_extents(facts: Facts) -> Chosen | None:
    """One file system with reflink: nothing is copied, whatever its size. A proof at the cutover would read all."""
    if facts.request.verify is Verify.CUTOVER or any(d.source_format != d.destination.format for d in facts.disks):
        return None
    ways = [facts.inventory.offloads.get(disk.target) for disk in facts.disks]
    if not ways or any(way is not CopyWay.REFLINK for way in ways) or facts.copy_bytes < _PAYS:
        return None
    if snapshot_possible(facts) is not None:
        return None
    return _of(Method.SNAPSHOT, f"both pools share a file system with reflink, so {show_size(facts.copy_bytes)} stay")


def fast_writer(facts: Facts) -> Chosen | None:
    """A mirror would run after the guest for ever."""
    if not facts.copy_rate or facts.dirty_rate < facts.copy_rate * _NEARLY:
        return None
    pace = f"the guest dirties {show_rate(round(facts.dirty_rate))}, the copy does {show_rate(round(facts.copy_rate))}"
    if (trouble := synchronous_trouble(facts.inventory.versions)) is not None:
        return Chosen(method=Method.MIRROR, why=f"{pace}, but {trouble}")
    return _of(Method.SYNCHRONOUS, pace)


def corrupting_mirror(facts: Facts) -> Chosen | None:
    """A QEMU that may lose writes in each method that it has to offer: the proof is what is left."""
    fault = known_bad.corrupting(facts.inventory.versions, Method.MIRROR)
    if fault is None:
        return None
    for method in (Method.SNAPSHOT, Method.SYNCHRONOUS):
        possible = snapshot_possible(facts) is None if method is Method.SNAPSHOT else True
        if possible and known_bad.corrupting(facts.inventory.versions, method) is None:
            return _of(method, f"of a mirror {fault.text}")
    return Chosen(method=Method.MIRROR, why=f"nothing avoids this: {fault.text}; the verification tells")


RULES: tuple[Callable[[Facts], Chosen | None], ...] = (
    asked,
    off,
    proof_before,
    shared_extents,
    fast_writer,
    corrupting_mirror,
)


def choose_method(facts: Facts) -> Chosen:
    return next((chosen for rule in RULES if (chosen := rule(facts)) is not None), default(facts))


def default(_facts: Facts) -> Chosen:
    return Chosen(method=Method.MIRROR, why="nothing speaks for another")


def _of(method: Method, why: str) -> Chosen | None:
    return Chosen(method=method, why=why) if method in AVAILABLE else None


# What stands against a method, in words


def synchronous_trouble(versions: Versions) -> str | None:
    if 0 < versions.libvirt < SYNCHRONOUS_FROM:
        return f"libvirt {show(versions.libvirt)} has no synchronous writes, which came with 8.0"
    fault = next(
        (
            fault
            for fault in known_bad.FAULTS
            if fault.harm in (Harm.CORRUPTS, Harm.CRASHES)
            and fault.methods == {Method.SYNCHRONOUS}
            and fault.in_version(versions)
        ),
        None,
    )
    return None if fault is None else f"in QEMU {show(versions.qemu)} {fault.text}"


def snapshot_possible(facts: Facts) -> str | None:
    """Why method `snapshot` can't move these disks; None when it can."""
    domain = facts.inventory.domain
    if domain.state not in (DomainState.RUNNING, DomainState.PAUSED):
        return "a snapshot is of a guest that runs"
    if facts.request.flatten and any(choice.layers for choice in facts.choices):
        return "it copies each file as it is, so it can't make one of a chain"
    for choice in facts.choices:
        if (trouble := _unfit(choice, facts.inventory)) is not None:
            return f"{choice.disk.target} {trouble}"
    return _no_room(facts)


def _unfit(choice: Choice, inventory: Inventory) -> str | None:
    disk, image = choice.disk, choice.image
    if disk.device != "disk" or not choice.on_file:
        return "is not on a file, so there is no place beside it for the overlay that takes what the guest writes"
    if (kind := places.kind(choice.pool)) is not None and not kind.files:
        return "is to go to what is no file, and its copy is one"
    if disk.luks is not None or (choice.destination is not None and choice.destination.luks is not None):
        return "is encrypted, or to be, and what its overlay takes would be plain"
    if flag := _flag(disk):
        return f"is {flag}, and can have no snapshot"
    if not _has_place(choice, inventory):
        return "is in no pool's own folder, so its overlay has no place"
    if any(disk.target in point.targets for point in inventory.domain.checkpoints):
        return "has checkpoints: their bitmaps don't go through a snapshot and its commit"
    if image is not None and image.bitmaps:
        return f"has dirty bitmaps ({', '.join(image.bitmaps)}), which a copy out of process leaves behind"
    return None


def _has_place(choice: Choice, inventory: Inventory) -> bool:
    """Whether svmove can have a volume made beside the source."""
    pool = inventory.pool(choice.volume.pool) if choice.volume else None
    if pool is None or pool.folder is None or choice.disk.path is None:
        return False
    return pool.active and PurePosixPath(choice.disk.path).parent == PurePosixPath(pool.folder)


def _flag(disk: Disk) -> str | None:
    flags = {"<transient/>": disk.transient, "shareable": disk.shareable, "read-only": disk.read_only}
    return next((name for name, is_set in flags.items() if is_set), None)


def overlay_bytes(facts: Facts) -> dict[str, int]:
    """By target: what the guest is expected to write into its overlay by method `snapshot`."""
    shared = {
        choice.disk.target
        for choice in facts.choices
        if sharing.shares(choice, facts.request, facts.inventory, Method.SNAPSHOT)
    }
    copied = sum(disk.copy_bytes for disk in facts.disks if disk.target not in shared)
    seconds = copied / facts.copy_rate if facts.copy_rate else 0.0
    seconds += sharing.SECONDS if shared else 0.0
    found = {}
    for disk in facts.disks:
        writes = facts.inventory.writes.get(disk.target)
        written = writes.bytes * seconds if writes else 0.0
        found[disk.target] = min(round(written), disk.destination.capacity)
    return found


def _no_room(facts: Facts) -> str | None:
    """An overlay beside each source takes what the guest writes while the base is copied."""
    needed: dict[str, int] = {}
    written = overlay_bytes(facts)
    for choice in facts.choices:
        if choice.volume is not None:
            more = written.get(choice.disk.target, 0)
            needed[choice.volume.pool] = needed.get(choice.volume.pool, 0) + more
    for name, size in needed.items():
        # What is in the overlays is written once more when they are merged, on the way back.
        pool, room = facts.inventory.pool(name), 2 * size + facts.policy.reserve(name)
        if pool is not None and pool.available < room:
            return (
                f"pool {name} has {show_size(pool.available)} available for the overlays; needed are {show_size(room)}"
            )
    return None
