"""Checks of where it goes: the pools, the names, the space, the scratch space of the verification."""

from collections import Counter
from collections.abc import Iterator

from svmove import location
from svmove.moves import Finding, Level
from svmove.plan import places, room
from svmove.plan.case import Case, nearest, refuse
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


def _trouble(uri: str) -> str:
    try:
        places.export(uri)
    except ValueError as error:
        return str(error)
    return "not understood"


def space(case: Case) -> Iterator[Finding]:
    """Pools that lie on one file system share its space, and count once."""
    for need in room.needs(case):
        known = [pool for name in need.pools if (pool := case.inventory.pool(name)) is not None]
        if (
            known
            and all(pool.active for pool in known)
            and (lack := room.lacking(need, known, case.policy)) is not None
        ):
            yield refuse("no-space", lack, "free some, choose another pool, or lower the reserve in the policy")


def overcommit(case: Case) -> Iterator[Finding]:
    """What all volumes of a pool can hold together, this move's as well, against what the policy allows."""
    wanted: Counter[str] = Counter()
    for _, spec in _made(case):
        if not spec.taken:
            wanted[spec.pool] += spec.length
    for name, size in wanted.items():
        pool, most = case.inventory.pool(name), case.policy.overcommit(name)
        if pool is None or most is None:
            continue
        promised, limit = case.inventory.promised.get(name, 0) + size, int(most * pool.capacity)
        if promised > limit:
            yield refuse(
                "overcommitted",
                f"the volumes of pool {name} would be promised {show_size(promised)}, and at most {show_size(limit)} "
                f"are allowed ({most:g} times its capacity)",
                "choose another pool, or raise overcommit in the policy",
            )


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
    elif case.method is not Method.OFFLINE and case.choices:
        for folder in sorted(name for name in case.inventory.shut if name.startswith("/")):  # no pool's name has one
            yield refuse(
                "no-access",
                f"the guest's QEMU may not enter {folder}, where the verification's scratch files are to be",
                "let its user through, on each folder of the way (chmod o+x), or set paths.scratch in the policy",
            )
