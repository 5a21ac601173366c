"""The table of checks: each looks at the plan's facts and yields findings with their remedies.

A check that finds nothing to object to yields nothing. `refuse` stops the move before anything is touched,
`warn` and `note` are told. The codes are part of the JSON contract (docs/findings.md).
"""

from collections.abc import Callable, Iterator

from svmove.moves import Finding
from svmove.plan import (
    affinity_checks,
    chain_checks,
    disk_checks,
    domain_checks,
    logical_checks,
    luks_checks,
    method_checks,
    place_checks,
    pool_checks,
)
from svmove.plan.case import Case

CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    domain_checks.state,
    domain_checks.paused,
    domain_checks.ownership,
    domain_checks.permission,
    method_checks.method,
    method_checks.proof,
    disk_checks.unknown,
    pool_checks.pools,
    disk_checks.shapes,
    luks_checks.shapes,
    luks_checks.secrets,
    chain_checks.layers,
    disk_checks.iothreads,
    disk_checks.full,
    disk_checks.held,
    disk_checks.jobs,
    disk_checks.configuration,
    disk_checks.sharing,
    place_checks.taken,
    place_checks.direct,
    place_checks.access,
    place_checks.kept,
    place_checks.filled,
    place_checks.shared,
    place_checks.off,
    pool_checks.names,
    logical_checks.names,
    logical_checks.sizes,
    pool_checks.space,
    pool_checks.overcommit,
    pool_checks.scratch,
    domain_checks.agent,
    domain_checks.pause,
    domain_checks.deadline,
    domain_checks.cutover,
    disk_checks.told,
    luks_checks.told,
    disk_checks.bitmaps,
    disk_checks.zeroes,
    affinity_checks.rules,
    domain_checks.home,
    method_checks.versions,
)


def judge(case: Case) -> tuple[Finding, ...]:
    return tuple(finding for check in CHECKS for finding in check(case))
