"""The plan of the way back: a move like any other, of the disks that the guest runs on at their destinations.

The old source keeps its name and stays as it was at the cutover; the disk goes into a new volume beside it.
"""

from dataclasses import replace
from pathlib import PurePosixPath

from svmove.budgets import Priority
from svmove.errors import RefusedError
from svmove.move.context import Move
from svmove.move.inventory import gather
from svmove.move.observe import Where
from svmove.moves import Finding, Level, Plan
from svmove.plan.planner import make_plan
from svmove.requests import DiskRequest, Format, Request
from svmove.volumes import NVRAM, DiskPlan


def plan_back(move: Move, new: str) -> Plan | None:
    """The plan for move id `new`; None when no disk is on its destination. Raises RefusedError."""
    world, seen = move.world, move.observe()
    over = [
        disk.plan
        for disk in seen.disks
        if not seen.off and disk.where is Where.DESTINATION and disk.target != NVRAM  # nothing moves that as it runs
    ]
    if not over:
        return None
    request = Request(
        domain=seen.domain.name,
        to=None,
        disks=tuple(_request(disk, new) for disk in over),
        verify=move.plan.verify,
        max_pause=move.plan.max_pause,
        priority=Priority.HIGH,
    )
    inventory = gather(
        request,
        world.hypervisor,
        world.host,
        world.journal,
        world.scratch,
        clock=world.clock,
        policy=world.policy,
        after=move.plan.move,
    )
    plan = make_plan(request, inventory, world.policy, move=new, now=world.clock.now())
    if any(finding.level is Level.REFUSE and finding.code == "known-bad" for finding in plan.findings):
        # Not compared, and perhaps silently wrong: then both copies are kept, since there must be a way back.
        request = replace(request, keep_source=True)
        plan = make_plan(request, inventory, world.policy, move=new, now=world.clock.now())
    if plan.refused:
        first = next(finding for finding in plan.findings if finding.level is Level.REFUSE)
        raise RefusedError(f"it can't be moved back: {first.text}", remedy=first.remedy)
    kept = tuple(
        Finding(
            level=Level.NOTE,
            code="handed-over",
            text=f"carries on from move {move.plan.move}, whose old source is kept beside it: {disk.source}",
            target=disk.target,
        )
        for disk in over
    )
    return replace(plan, findings=plan.findings + kept)


def _request(disk: DiskPlan, new: str) -> DiskRequest:
    name = PurePosixPath(disk.volume_from or disk.source)
    return DiskRequest(
        target=disk.target,
        pool=disk.pool_from,
        format=Format(disk.source_format),
        # The id's last part is unique, and short enough for a name.
        name=f"{name.stem}-{new.rpartition('-')[2]}{name.suffix}",
        encrypt=disk.source_luks,
        decrypt=disk.source_luks is None,
    )
