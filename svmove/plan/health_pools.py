"""Lines on the storage pools, and on what libvirt needs for them."""

from collections.abc import Iterator

from svmove.health import Facts, Line, Mark, PoolFacts
from svmove.location import SecretState
from svmove.plan import places
from svmove.units import show_size

# The types that Debian and Ubuntu have in packages of their own.
_PACKAGES = {
    "rbd": "libvirt-daemon-driver-storage-rbd",
    "iscsi-direct": "libvirt-daemon-driver-storage-iscsi-direct",
}
_SECRETS = {
    SecretState.MISSING: ("is not in libvirt's store", "virsh secret-define, then virsh secret-set-value"),
    SecretState.EMPTY: ("has no value", "virsh secret-set-value"),
    SecretState.PRIVATE: ("is private, so svmove itself can't read what it opens", "define it anew with private='no'"),
}


def backends(facts: Facts) -> Iterator[Line]:
    """libvirt loads its storage backends when it starts, and knows nothing of pools whose backend is not there."""
    loaded = facts.libvirt.setup.pool_types
    if loaded is None or facts.libvirt.unreachable is not None:
        return
    known = [kind for kind in places.KINDS if kind != "nbd"]  # which libvirt has no pools for
    there = [kind for kind in known if kind in loaded]
    yield Line(mark=Mark.OK, subject="backends", code="backends", seen=f"loaded: {', '.join(there)}")
    for kind in known:
        if kind not in loaded:
            package = _PACKAGES.get(kind)
            yield Line(
                mark=Mark.NOTE,
                subject="backends",
                code="backend-missing",
                seen=f"libvirt has none for pools of type {kind}: it knows nothing of any such pool",
                remedy=(f"apt-get install {package}, and " if package else "if there should be one: ")
                + "restart libvirtd (systemctl restart libvirtd)",
            )


def named(facts: Facts) -> Iterator[Line]:
    """Pools that a person or the policy names."""
    if facts.libvirt.unreachable is not None:
        return
    known = ", ".join(sorted(facts.pool_names)) or "none"
    for name in sorted(facts.asked - facts.pool_names):
        yield Line(
            mark=Mark.PROBLEM,
            subject=f"pool {name}",
            code="no-such-pool",
            seen="libvirt has no such pool",
            remedy=f"there are: {known}",
        )
    for name in sorted(set(facts.policy.pools) - facts.pool_names):
        yield Line(
            mark=Mark.WARNING,
            subject="policy",
            code="unknown-pool",
            seen=f"[pools.{name}] is of no pool of this libvirt: what it says holds for nothing here",
            remedy=f"there are: {known}",
        )


def pools(facts: Facts) -> Iterator[Line]:
    for found in facts.pools:
        bad = [*_started(facts, found), *_reached(found), *_room(facts, found)]
        yield from bad
        if found.pool.active and not any(line.mark in (Mark.WARNING, Mark.PROBLEM) for line in bad):
            yield Line(mark=Mark.OK, subject=f"pool {found.pool.name}", code="pool", seen=_described(found))


def _line(found: PoolFacts, mark: Mark, code: str, seen: str, remedy: str | None) -> Line:
    return Line(mark=mark, subject=f"pool {found.pool.name}", code=code, seen=seen, remedy=remedy)


def _started(facts: Facts, found: PoolFacts) -> Iterator[Line]:
    pool = found.pool
    if not pool.active:
        # One that doesn't start with the host may be off on purpose.
        wanted = pool.autostart or pool.name in facts.asked
        mark = Mark.PROBLEM if wanted else Mark.WARNING
        yield _line(found, mark, "pool-inactive", "it is not active", f"virsh pool-start {pool.name}")
    elif not pool.autostart:
        seen = "it is not started with the host: until somebody does, guests on it can't be started or moved"
        yield _line(found, Mark.NOTE, "no-autostart", seen, f"virsh pool-autostart {pool.name}")
    if places.kind(pool) is None:
        kinds = ", ".join(places.KINDS)
        seen = f"it is of type {pool.type}, which svmove does not move to"
        yield _line(found, Mark.NOTE, "pool-type", seen, f"svmove moves to {kinds}")


def _reached(found: PoolFacts) -> Iterator[Line]:
    for name, state in found.secrets.items():
        if state is not SecretState.READABLE:
            why, remedy = _SECRETS[state]
            code = "secret-private" if state is SecretState.PRIVATE else "secret-missing"
            yield _line(found, Mark.PROBLEM, code, f"its secret {name} {why}", remedy)
    if found.silent is not None:
        remedy = "mend the storage; with it all that libvirt and svmove ask of the pool waits or fails"
        yield _line(found, Mark.PROBLEM, "storage-silent", f"its storage can't be read from: {found.silent}", remedy)
    if not found.there:
        remedy = f"mount what belongs there, or mend its definition: virsh pool-edit {found.pool.name}"
        yield _line(found, Mark.PROBLEM, "no-folder", f"there is no {found.pool.path}", remedy)
    if found.open is False:
        seen = f"QEMU's user can't enter {found.pool.path}: no guest that runs can be moved to it"
        remedy = f"let it through, on each folder of the way: chmod o+x {found.pool.path}"
        yield _line(found, Mark.PROBLEM, "no-access", seen, remedy)
    if found.direct is False:
        seen = f"its file system ({found.kind}) knows no O_DIRECT: disks with cache='none' can't go there"
        yield _line(found, Mark.NOTE, "no-direct", seen, "set cache='writeback' on such disks, or take another pool")
    if found.kind in ("tmpfs", "ramfs"):
        yield _line(found, Mark.WARNING, "in-memory", f"it is on {found.kind}: it is gone with the power", None)


def _room(facts: Facts, found: PoolFacts) -> Iterator[Line]:
    pool, reserve = found.pool, facts.policy.reserve(found.pool.name)
    # LUNs and partitions are there: nothing is made, and so no room is asked for.
    kind = places.kind(pool)
    if pool.active and kind is not None and kind.makes and pool.available < reserve:
        seen = (
            f"{show_size(pool.available)} available, less than the reserve of {show_size(reserve)}: nothing goes there"
        )
        yield _line(found, Mark.WARNING, "no-space", seen, "free some, or lower the reserve in the policy")


def _described(found: PoolFacts) -> str:
    pool = found.pool
    kind = places.kind(pool)
    makes = kind is None or kind.makes
    parts = [
        found.kind or pool.type,
        # What is there is taken, and libvirt calls none of it available.
        f"{show_size(pool.available)} available of {show_size(pool.capacity)}" if makes else show_size(pool.capacity),
        *(["O_DIRECT"] if found.direct else []),
        *(["copies can share extents (reflink)"] if found.reflink else []),
    ]
    return ", ".join(parts)
