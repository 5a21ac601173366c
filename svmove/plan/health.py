"""The table of what `svmove doctor` says: each entry looks at the facts and yields lines, at least one if there is
something to say. The codes are part of the JSON contract (docs/doctor.md)."""

from collections.abc import Callable, Iterator, Sequence

from svmove.health import Facts, Line, Mark
from svmove.plan import health_host, health_pools, health_records

CHECKS: tuple[Callable[[Facts], Iterator[Line]], ...] = (
    health_host.libvirt,
    health_host.versions,
    health_host.commands,
    health_host.user,
    health_host.kvm,
    health_host.confinement,
    health_host.scratch,
    health_records.policy,
    health_records.journal,
    health_records.clock,
    health_pools.backends,
    health_pools.named,
    health_pools.pools,
    health_records.moves,
)


def judge(facts: Facts) -> tuple[Line, ...]:
    return tuple(line for check in CHECKS for line in check(facts))


def worst(lines: Sequence[Line]) -> Mark:
    order = tuple(Mark)
    return max((line.mark for line in lines), key=order.index, default=Mark.OK)
