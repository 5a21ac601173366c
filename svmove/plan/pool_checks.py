"""Checks of where it goes: the pools, the names, the space, the scratch space of the verification."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from svmove import location
from svmove.model import Image
from svmove.moves import Finding, Level
from svmove.plan import luks, places, sharing
from svmove.plan.case import Case, nearest, refuse
from svmove.plan.choice import Choice
from svmove.redact import redact
from svmove.requests import Method, Verify
from svmove.units import show_size
from svmove.volumes import VolumeSpec


def pools(case: Case) -> Iterator[Finding]:
    known = {pool.name for pool in case.inventory.pools}
    wanted = {asked.pool for asked in case.request.disks if asked.pool} | {c.pool_name for c in case.choices}
    if case.request.to is not None:
        wanted.add(case.request.to)
    for name in sorted(name for name in wanted if name is not None):
        pool = places.destination(name, case.inventory)
        if pool is None and location.is_uri(name):
            yield refuse("bad-uri", f"{redact(name)!r}: {_trouble(name)}", "write nbd://HOST[:PORT]/EXPORT", None)
        elif pool is None:
            yield refuse("no-such-pool", f"no pool {name!r}", nearest(name, known))
        elif not pool.active:
            trouble = case.inventory.troubles.get(name)
            why, first = (f": {trouble}", "mend that, then ") if trouble else ("", "")
            yield refuse("pool-inactive", f"pool {name} is not active{why}", f"{first}virsh pool-start {name}")
        elif name in case.inventory.emptied:
            yield refuse(
                "pool-emptied",
                f"pool {name} is being emptied, or stays empty",
                f"choose another pool, or take the mark off: svmove evacuate {name} --end",
            )
        elif places.kind(pool) is None:
            yield refuse(
                "pool-type",
                f"pool {name} is of type {pool.type}; svmove moves to {', '.join(places.KINDS)}",
                "choose a pool of one of these types",
            )
    for choice in case.choices:
        if choice.pool_name is None:
            yield refuse("no-pool", f"{choice.disk.target}: no destination", "name one: --to POOL", choice.disk.target)


def names(case: Case) -> Iterator[Finding]:
    # With a marker, a name that is taken may be by the move that owns the domain, which is said already.
    owned = case.inventory.domain.marker is not None
    planned = Counter((spec.pool, spec.name) for _, spec in _made(case))
    for target, spec in _made(case):
        if spec.taken:
            continue
        if "/" in spec.name or spec.name in ("", ".", "..") or not spec.name.isprintable():
            yield refuse(
                "bad-name",
                f"{target}: {spec.name!r} can't be a volume's name",
                f"give one: --disk {target},name=VOLUME",
                target,
            )
        elif not owned and spec.name in case.inventory.names.get(spec.pool, frozenset()):
            yield refuse(
                "name-taken",
                f"{target}: pool {spec.pool} has a volume {spec.name!r} already",
                f"give another name: --disk {target},name=VOLUME",
                target,
            )
        elif planned[spec.pool, spec.name] > 1:
            yield refuse(
                "name-twice",
                f"{target}: another disk of this move would be called {spec.name!r} in pool {spec.pool} too",
                f"give another name: --disk {target},name=VOLUME",
                target,
            )


def _made(case: Case) -> list[tuple[str, VolumeSpec]]:
    """The volumes that would be made, with the disk that each is for. A base that several disks have is made once."""
    found: dict[tuple[str, str], tuple[str, VolumeSpec]] = {}
    tops = []
    for choice in case.choices:
        if choice.destination is not None:
            tops.append((choice.disk.target, choice.destination))
        for layer in choice.layers:
            if layer.destination is not None and not layer.found:
                found.setdefault((layer.source, layer.destination.path), (choice.disk.target, layer.destination))
    return [*tops, *found.values()]


def _thin(choice: Choice) -> bool:
    kind = places.kind(choice.pool)
    return kind is None or kind.thin


def _trouble(uri: str) -> str:
    try:
        places.export(uri)
    except ValueError as error:
        return str(error)
    return "not understood"


def space(case: Case) -> Iterator[Finding]:
    """Only the destination's space counts: what is allocated now, or all of a volume that is to be fully allocated,
    and a reserve for what the guest adds. Of a copy that shares the source's extents little but that reserve counts.
    Pools that lie on one file system share its space, and count once."""
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
    for place, size in needed.items():
        known = [pool for name in sorted(pools[place]) if (pool := case.inventory.pool(name)) is not None]
        if not known or not all(pool.active for pool in known):
            continue
        # A pool that was asked a moment later may tell a little less.
        available = min(pool.available for pool in known)
        reserve = max(case.policy.reserve(pool.name) for pool in known)
        if size + reserve > available:
            names = " and ".join(pool.name for pool in known)
            yield refuse(
                "no-space",
                (f"pool {names} has" if len(known) == 1 else f"pools {names} share a file system, with")
                + f" {show_size(available)} available; needed are {show_size(size)} "
                f"and a reserve of {show_size(reserve)}",
                "free some, choose another pool, or lower the reserve in the policy",
            )


def _size(case: Case, choice: Choice, spec: VolumeSpec, image: Image) -> int:
    """What a disk's own file takes at the destination, at most."""
    size = min(image.allocated_bytes, image.virtual_bytes)
    if sharing.shares(choice, case.request, case.inventory, case.method):
        holes = max(spec.capacity - size, 0) if spec.full else 0
        # On one file system what the guest writes meanwhile is in both overlays, and once more in the copy when the
        # second one is merged into it.
        return sharing.taken(size) + holes + (3 * case.overlays.get(choice.disk.target, 0))
    if spec.backing is None:  # what lies below is flattened into it
        size = min(size + sum(layer.copy_bytes for layer in choice.layers), spec.capacity)
    if luks.dense(choice.disk, spec):
        return spec.capacity + (luks.HEADER if spec.luks else 0)
    return spec.capacity if spec.full or not _thin(choice) else size


def scratch(case: Case) -> Iterator[Finding]:
    reserve = case.policy.space.scratch_reserve
    if case.verify is Verify.NONE:
        yield Finding(
            level=Level.WARN,
            code="not-verified",
            text="the source is deleted without a comparison"
            if not case.request.keep_source
            else "the copy is not compared",
            remedy="leave --verify none out",
        )
    elif case.method is not Method.OFFLINE and case.choices and case.inventory.scratch_free < 2 * reserve:
        yield refuse(
            "no-scratch",
            f"{show_size(case.inventory.scratch_free)} free for the verification's scratch files; "
            f"needed are {show_size(2 * reserve)}",
            "free some, or set paths.scratch in the policy",
        )
