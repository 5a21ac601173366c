"""Whether pools still have the room that a plan needs: when it is made, and when it has waited for its turn."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from svmove.model import Image, Pool
from svmove.moves import Need
from svmove.plan import holes, luks, places, sharing
from svmove.plan.case import Case
from svmove.plan.choice import Choice
from svmove.policy import Policy
from svmove.units import show_size
from svmove.volumes import LUKS_HEADER, VolumeSpec


def lacking(need: Need, pools: Sequence[Pool], policy: Policy) -> str | None:
    """In words; None: there is enough. `pools`: those of the need, which share one file system; all active.

    A reserve is added for what the guest writes meanwhile."""
    # A pool that was asked a moment later may tell a little less.
    available = min(pool.available for pool in pools)
    reserve = max(policy.reserve(pool.name) for pool in pools)
    if need.size + reserve <= available:
        return None
    names = " and ".join(pool.name for pool in pools)
    return (
        f"pool {names} has" if len(pools) == 1 else f"pools {names} share a file system, with"
    ) + f" {show_size(available)} available; needed are {show_size(need.size)} and a reserve of {show_size(reserve)}"


def needs(case: Case) -> tuple[Need, ...]:
    """Only the destination's space counts: what is allocated now, or all of a volume that is to be fully allocated.
    Of a copy that shares the source's extents next to nothing does."""
    needed: Counter[str] = Counter()
    pools: defaultdict[str, set[str]] = defaultdict(set)
    for choice in case.choices:
        spec = choice.destination
        if spec is not None and choice.image is not None and not spec.taken:
            place = case.inventory.filesystems.get(spec.pool, f"pool {spec.pool}")
            pools[place].add(spec.pool)
            needed[place] += _size(case, choice, spec, choice.image)
            for number, layer in enumerate(choice.layers, start=1):
                if layer.destination is not None and not layer.found:
                    shared = sharing.layer_shares(choice, number, case.inventory)
                    needed[place] += sharing.taken(layer.copy_bytes) if shared else layer.copy_bytes
    for file in (*case.media, *case.nvram.plans):
        if file.destination.name not in case.inventory.names.get(file.destination.pool, frozenset()):
            place = case.inventory.filesystems.get(file.destination.pool, f"pool {file.destination.pool}")
            pools[place].add(file.destination.pool)
            needed[place] += file.copy_bytes
    return tuple(Need(pools=tuple(sorted(pools[place])), size=size) for place, size in needed.items())


def _size(case: Case, choice: Choice, spec: VolumeSpec, image: Image) -> int:
    """What a disk's own file takes at the destination, at most."""
    size = min(image.allocated_bytes, image.virtual_bytes)
    if sharing.shares(choice, case.request, case.inventory, case.method):
        empty = max(spec.capacity - size, 0) if spec.full else 0
        # On one file system what the guest writes meanwhile is in both overlays, and once more in the copy when the
        # second one is merged into it.
        return sharing.taken(size) + empty + (3 * case.overlays.get(choice.disk.target, 0))
    if spec.backing is None:  # what lies below is flattened into it
        size = min(size + sum(layer.copy_bytes for layer in choice.layers), spec.capacity)
    if luks.dense(choice.disk, spec):
        return spec.capacity + (LUKS_HEADER if spec.luks else 0)
    return spec.capacity if spec.full or not _thin(choice) or holes.filled(case, choice) else size


def _thin(choice: Choice) -> bool:
    kind = places.kind(choice.pool)
    return kind is None or kind.thin
