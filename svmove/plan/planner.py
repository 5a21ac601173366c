"""Request + inventory + policy → Plan."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from svmove.errors import UsageError
from svmove.model import Inventory, WriteRate
from svmove.moves import Finding, Level, Plan
from svmove.plan import admission, estimate, holes, luks, places, room
from svmove.plan.case import Case
from svmove.plan.choice import Choice, choose
from svmove.plan.granularity import granularity_for
from svmove.plan.layers import once, overlay
from svmove.plan.media import choose_media
from svmove.plan.method import Facts, choose_method, overlay_bytes, snapshot_possible
from svmove.plan.nvram import choose_nvram
from svmove.policy import Policy
from svmove.requests import Method, Request
from svmove.volumes import DiskPlan
from svmove.windows import narrowed


def make_plan(request: Request, inventory: Inventory, policy: Policy, *, move: str, now: float) -> Plan:
    """Never raises for what the inventory says: that is in the plan's findings.

    Raises:
        UsageError: the request contradicts itself.
    """
    consistent(request)
    choices, findings = choose(request, inventory)
    to_move = tuple(choice for choice in choices if not choice.there)
    max_pause = policy.move.max_pause if request.max_pause is None else request.max_pause
    deadline = policy.move.deadline if request.deadline is None else request.deadline
    bandwidth = policy.move.bandwidth if request.bandwidth is None else request.bandwidth
    windows = narrowed(policy.windows, request.bandwidth)
    disks = once(_disk_plans(to_move, request, inventory, bandwidth))
    begins = windows.rate(now, bandwidth)  # with that limit, if it begins now
    total = sum(disk.copy_bytes + sum(layer.copy_bytes for layer in disk.layers) for disk in disks)
    past_rate = _past_rate(disks, inventory)
    fastest = _fastest(begins, disks, policy)
    copy_seconds = estimate.seconds(total, fastest, past_rate)
    if policy.mirror.granularity is None:
        finest = {choice.disk.target: holes.finest(choice, inventory) for choice in to_move}
        disks = _granular(disks, finest, inventory.writes, estimate.rate(fastest, past_rate))
    facts = Facts(
        request=request,
        inventory=inventory,
        policy=policy,
        choices=to_move,
        disks=disks,
        copy_rate=estimate.rate(fastest, past_rate),
    )
    chosen = choose_method(facts)
    verify = chosen.verify(request.verify)
    if chosen.method is Method.SNAPSHOT:
        disks = _with_overlays(disks, inventory, move)
    media = choose_media(request, inventory, bandwidth)
    findings += media.findings
    nvram = choose_nvram(request, inventory, chosen.method, choices, media.plans)
    case = Case(
        request=request,
        inventory=inventory,
        policy=policy,
        method=chosen.method,
        verify=verify,
        choices=to_move,
        media=media.plans,
        nvram=nvram,
        max_pause=max_pause,
        deadline=deadline,
        now=now,
        windows=windows,
        copy_seconds=copy_seconds,
        granularities={disk.target: disk.granularity for disk in disks},
        no_snapshot=snapshot_possible(facts),
        overlays=overlay_bytes(facts) if chosen.method is Method.SNAPSHOT else {},
    )
    findings += admission.judge(case)
    if (
        inventory.domain.disks
        and not (choices or media.plans or media.there or nvram.plans)
        and not any(f.level is Level.REFUSE for f in findings)
    ):
        findings += (
            Finding(
                level=Level.REFUSE,
                code="nothing-to-move",
                text="the domain has no disk that can move",
                remedy=f"see what it has: svmove disks {shlex.quote(inventory.domain.name)}",
            ),
        )
    return Plan(
        move=move,
        domain=inventory.domain.name,
        uuid=inventory.domain.uuid,
        method=chosen.method,
        disks=(*disks, *nvram.plans),
        there=(*(choice.disk.target for choice in choices if choice.there), *media.there),
        verify=verify,
        max_pause=max_pause,
        granularity=policy.mirror.granularity,
        buffer=policy.mirror.buffer,
        findings=findings,
        copy_bytes=total + sum(file.copy_bytes for file in nvram.plans),
        copy_seconds=copy_seconds,
        created=now,
        deadline=deadline,
        why=chosen.why,
        trim=request.trim,
        freeze=request.freeze,
        media=media.plans,
        priority=request.priority,
        wait=request.wait,
        windows=windows,
        at=request.at,
        keep_for=request.keep_for,
        needs=room.needs(case),
    )


def _fastest(bandwidth: int | None, disks: Sequence[DiskPlan], policy: Policy) -> int | None:
    """Bytes/s: the move's own limit, or what its pools have for all moves, as if it were alone on them."""
    names = {disk.destination.pool for disk in disks} | {disk.pool_from for disk in disks}
    limits = [bandwidth, *(pool.bandwidth for name, pool in policy.pools.items() if name in names)]
    return min((limit for limit in limits if limit is not None), default=None)


def consistent(request: Request) -> None:
    targets = [asked.target for asked in request.disks]
    if twice := {target for target in targets if targets.count(target) > 1}:
        raise UsageError(f"--disk names {', '.join(sorted(twice))} twice")
    if request.to is None and (not request.disks or any(asked.pool is None for asked in request.disks)):
        raise UsageError("no destination", remedy="name a pool: --to POOL, or --disk TARGET=POOL for each disk")
    if request.keep_source + (request.keep_for is not None) + request.delete_source > 1:
        raise UsageError("--keep-source, --keep-for and --delete-source contradict each other")
    keys = [(request.encrypt, request.decrypt), *((asked.encrypt, asked.decrypt) for asked in request.disks)]
    if any(encrypt is not None and decrypt for encrypt, decrypt in keys):
        raise UsageError("--encrypt and --decrypt contradict each other")


def _deletable(choice: Choice, inventory: Inventory) -> bool:
    """A LUN or a partition is a piece of a disk that somebody has cut: it is left, with what was on it."""
    kind = places.kind(inventory.pool(choice.volume.pool)) if choice.volume else None
    return kind is not None and kind.deletes


def _disk_plans(
    choices: Sequence[Choice], request: Request, inventory: Inventory, bandwidth: int | None
) -> tuple[DiskPlan, ...]:
    complete = [
        (choice, choice.image, choice.destination)
        for choice in choices
        if choice.image is not None and choice.destination is not None
    ]
    sizes = [luks.copied(choice, image, destination) for choice, image, destination in complete]
    caps = estimate.shares(bandwidth, sizes)
    return tuple(
        DiskPlan(
            target=choice.disk.target,
            source=choice.disk.path or "",
            source_format=choice.disk.format,
            pool_from=choice.volume.pool if choice.volume else None,
            volume_from=choice.volume.name if choice.volume else None,
            destination=destination,
            copy_bytes=size,
            bandwidth=cap,
            # A file in no pool was never libvirt's, and so is not ours to delete.
            # One that the guest may only read is likely a template, which others may have below their own.
            delete_source=not (request.keep_source or not _deletable(choice, inventory) or choice.disk.read_only),
            layers=choice.layers,
            source_luks=choice.disk.luks,
        )
        for (choice, _, destination), size, cap in zip(complete, sizes, caps, strict=True)
    )


def _with_overlays(disks: Sequence[DiskPlan], inventory: Inventory, move: str) -> tuple[DiskPlan, ...]:
    return tuple(
        replace(disk, overlay=overlay(disk.source, disk.source_format, pool, disk.destination, move))
        if disk.pool_from is not None and (pool := inventory.pool(disk.pool_from)) is not None
        else disk
        for disk in disks
    )


def _granular(
    disks: Sequence[DiskPlan], finest: Mapping[str, int], writes: Mapping[str, WriteRate], rate: float
) -> tuple[DiskPlan, ...]:
    """Each with the granularity that its guest's writes ask for, and that keeps its holes."""
    return tuple(
        replace(
            disk,
            granularity=granularity_for(writes.get(disk.target), disk.bandwidth or rate, finest[disk.target]),
        )
        for disk in disks
    )


def _past_rate(disks: Sequence[DiskPlan], inventory: Inventory) -> float | None:
    """The slowest of the known pairs: what the user waits for."""
    known = [
        rate
        for disk in disks
        if disk.pool_from is not None
        and (rate := inventory.past_rates.get((disk.pool_from, disk.destination.pool))) is not None
    ]
    return min(known, default=None)
