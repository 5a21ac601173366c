"""What a person asks for may break a rule of the policy: the rules bind what svmove proposes, so it is only told."""

from collections.abc import Iterator

from svmove.moves import Finding, Level
from svmove.plan.breaches import misplaced
from svmove.plan.case import Case
from svmove.plan.rules import Rules


def rules(case: Case) -> Iterator[Finding]:
    affinity, disks, uuid = case.policy.affinity, case.inventory.fleet, case.inventory.domain.uuid
    to = {choice.disk.target: choice.pool_name for choice in case.choices if choice.pool_name is not None}
    for pool in sorted(set(to.values())):
        if affinity.is_closed(pool):
            yield _warn(f"pool {pool} is to take nothing new (affinity.closed)")
    worked_out = Rules(affinity, disks)
    moved = {(uuid, target): pool for target, pool in to.items()}
    before = misplaced(disks, worked_out)
    for key, breach in misplaced(disks, worked_out, moved=moved).items():
        if before.get(key) != breach:
            yield _warn(breach.text, key[1] if key[0] == uuid else None)


def _warn(text: str, target: str | None = None) -> Finding:
    return Finding(
        level=Level.WARN,
        code="affinity",
        text=f"a rule of the policy is broken by this: {text}",
        remedy="choose another pool, or change the policy; svmove balance would move it again",
        target=target,
    )
