"""Checks of destinations that are no files: what they can't keep, and volumes that are taken as they are."""

from collections import Counter
from collections.abc import Iterator

from svmove import location
from svmove.moves import Finding, Level
from svmove.plan import holes, luks, places, sharing
from svmove.plan.case import Case, nearest, refuse
from svmove.plan.choice import Choice
from svmove.requests import Allocation, Method
from svmove.units import show_size
from svmove.volumes import VolumeSpec


def taken(case: Case) -> Iterator[Finding]:
    """A volume that is there: the right one, large enough, nobody's, and with nothing in it."""
    meant = Counter(c.destination.path for c in case.choices if c.destination is not None and c.destination.taken)
    for choice in case.choices:
        spec = choice.destination
        if spec is None or not spec.taken or luks.unreadable(case, spec.path):
            continue
        if meant[spec.path] > 1:
            target, again = choice.disk.target, f"{spec.path} is the destination of another disk of this move too"
            yield refuse("name-twice", f"{target}: {again}", "name one for each", target)
        else:
            yield from _taken(case, choice, spec)


def _taken(case: Case, choice: Choice, spec: VolumeSpec) -> Iterator[Finding]:
    target, found = choice.disk.target, case.inventory.taken.get(spec.path)
    known = sorted(case.inventory.names.get(spec.pool, ()))
    if choice.asked.name is None and known:
        yield refuse(
            "choose-volume",
            f"{target}: volumes of pool {spec.pool} are not made for a move: one that is there is taken",
            f"name one: --disk {target}={spec.pool},name=VOLUME, of {', '.join(known)}",
            target,
        )
    elif choice.pool is not None and not choice.pool.active:
        return  # which is told; what is in it nobody knows
    elif (trouble := case.inventory.troubles.get(spec.path)) is not None:
        yield refuse("cannot-open", f"{target}: {trouble}", "mend that, or take another one", target)
    elif found is None:
        remedy = nearest(spec.name, known) or "make it first, or name another one"
        yield refuse("no-such-volume", f"{target}: there is no {spec.path}", remedy, target)
    elif found.used_by is not None:
        who = f"{spec.path} is used by somebody else: {found.used_by}"
        yield refuse("used-elsewhere", who, "take another one", target)
    elif found.size == 0:
        yield refuse(
            "volume-too-small", f"{target}: {spec.path} is no disk: it has 0 bytes", "take another one", target
        )
    elif found.size < spec.length:
        yield refuse(
            "volume-too-small",
            f"{target} has {show_size(spec.length)} ({spec.length} bytes{luks.header(spec)}), "
            f"{spec.path} {show_size(found.size)} ({found.size})",
            "take a larger one",
            target,
        )
    elif found.read_only:
        yield refuse("volume-read-only", f"{target}: {spec.path} can't be written to", "take another one", target)
    elif not found.blank and not case.request.overwrite:
        yield refuse(
            "not-blank",
            f"{target}: {spec.path} has something in it, which the move would overwrite",
            "look at what that is; if nobody needs it: --overwrite",
            target,
        )
    elif found.size > spec.length:
        yield Finding(
            level=Level.NOTE,
            code="slice",
            text=f"{target} keeps its {show_size(spec.capacity)} on {spec.path}, which has {show_size(found.size)}: "
            "a <slice> in the guest's XML says so",
            remedy="to use all of it, take the <slices> out of the XML when the guest is off",
            target=target,
        )


def direct(case: Case) -> Iterator[Finding]:
    """QEMU would say so as well, but after the volume was made: "file system may not support O_DIRECT"."""
    for choice in case.choices:
        if choice.disk.direct and choice.destination is not None and choice.destination.pool in case.inventory.buffered:
            yield refuse(
                "no-direct",
                f"{choice.disk.target} is opened past the page cache, which the file system of pool "
                f"{choice.destination.pool} can't do",
                "choose another pool, or set cache='writeback' on its <driver>; it counts from the guest's next start",
                choice.disk.target,
            )


def access(case: Case) -> Iterator[Finding]:
    """QEMU would say "Permission denied" after the volume was made: libvirt gives it the file, not the way there."""
    for name in sorted({spec.pool for choice in case.choices if (spec := choice.destination) is not None}):
        pool = case.inventory.pool(name)
        if name in case.inventory.shut and pool is not None:
            yield refuse(
                "no-access",
                f"the guest's QEMU may not enter {pool.path}, the folder of pool {name}",
                f"let its user through, on each folder of the way: chmod o+x {pool.path}",
            )


def shared(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        target, size = choice.disk.target, case.inventory.shared.get(choice.disk.target, 0)
        if size and not sharing.shares(choice, case.request, case.inventory, case.method):
            yield Finding(
                level=Level.NOTE,
                code="reflink",
                text=f"{target}: {show_size(size)} share their room with other files at the source; "
                "the copy takes room of its own for them",
                target=target,
            )


def kept(case: Case) -> Iterator[Finding]:
    """What is lost by going there; it is told before."""
    for choice in case.choices:
        kind, target, spec = places.kind(choice.pool), choice.disk.target, choice.destination
        if kind is None or spec is None or kind.files:
            continue
        if choice.layers and not case.request.flatten:
            yield refuse(
                "raw-chain",
                f"{target} has files below it: {', '.join(choice.disk.chain)}; pool {spec.pool} can't have any",
                "make one image of them: --flatten",
                target,
            )
        if case.request.allocation is Allocation.FULL and kind.thin:
            yield Finding(
                level=Level.WARN,
                code="not-allocated",
                text=f"{target}: pool {spec.pool} gives a volume its room when it is written",
                target=target,
            )
        found = case.inventory.taken.get(spec.path)
        thin = kind.thin or (found is not None and found.thin)
        if not thin:
            why = f"a volume of pool {spec.pool} has room for all from the start, unless its storage is thin itself"
            yield from holes.lost(choice, why)


def filled(case: Case) -> Iterator[Finding]:
    """By granules that are too fine."""
    for choice in case.choices:
        if holes.filled(case, choice):
            why = "the policy's mirror.granularity is finer than its copy's clusters, and fills what is empty"
            remedy = "leave mirror.granularity out of the policy: svmove chooses one that keeps holes"
            yield from holes.lost(choice, why, level=Level.WARN, remedy=remedy)


def off(case: Case) -> Iterator[Finding]:
    """Chains are of files, and no other place is given a format's header by anybody."""
    if case.method is not Method.OFFLINE:
        return
    for choice in case.choices:
        target, chain = choice.disk.target, choice.disk.chain
        if chain and not (choice.on_file and all(map(location.is_file, chain))):
            yield refuse(
                "offline-files",
                f"{target} has images below it ({', '.join(chain)}), and not all are files: of a guest that is off "
                "only chains of files are moved",
                "start the guest, and make one image of them: --flatten",
                target,
            )
        elif choice.destination is not None and choice.destination.format != "raw" and not _in_a_folder(choice):
            yield refuse(
                "offline-files",
                f"{target}: only files are made as {choice.destination.format}, and pool {choice.pool_name} has none",
                "leave --format out",
                target,
            )


def _in_a_folder(choice: Choice) -> bool:
    kind = places.kind(choice.pool)
    return kind is None or kind.files
