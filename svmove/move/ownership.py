"""Whose is this file, and who uses it? A doubt, in words, keeps a file; None lets it go.

A file is ours when (1) the journal says so, (2) it is the very file that the journal knows, by device and inode,
since somebody may have put another one there, and (3) nobody names it or has it open.
"""

from collections.abc import Mapping

from svmove import location
from svmove.move import watch
from svmove.move.context import Move
from svmove.move.observe import Seen, Where, same
from svmove.move.usage import in_use
from svmove.requests import Method, Verify
from svmove.volumes import DiskPlan, VolumeSpec


def used_elsewhere(move: Move) -> dict[str, str]:
    """Identity of each file that somebody else uses → who."""
    plan = move.plan
    ours = {spec.path for disk in plan.disks for spec in disk.made.values()}
    ours |= {path for disk in plan.disks for path in disk.deletable.values()}
    return in_use(move.world.hypervisor, move.world.host, besides=plan.uuid, ours=ours)


def doubt_about_source(
    move: Move, disk: DiskPlan, key: str, path: str, seen: Seen, elsewhere: Mapping[str, str]
) -> str | None:
    """Why a file of the disk's source may not be deleted after a commit. `key`: of `DiskPlan.deletable`."""
    if (doubt := doubt_about_leaving(move, disk, seen)) is not None:
        return doubt
    known = move.noted("source", key)
    identity = move.world.host.identity(path)
    if known is None or identity is None or identity != known.data["identity"]:
        return "it is not the file that was copied"
    if not (watch.is_sure(move) or location.is_file(path)):
        return "svmove died when the guest was to start from its copy, and nobody saw whether it has run on this since"
    stamp = move.noted("stamp", key)
    if stamp is not None and move.world.host.stamp(path) != stamp.data["stamp"]:
        return "somebody has written to it since it was copied"
    return _used(move, path, identity, seen, elsewhere)


def doubt_about_leaving(move: Move, disk: DiskPlan, seen: Seen) -> str | None:
    """Why the source may be needed yet."""
    if seen.off:
        if not _starts_from_copies(move, seen):
            return "the guest is off, so it can't be proven which copy it uses"
    elif seen.where is not Where.DESTINATION:
        return f"the guest is not proven on its destinations: {seen}"
    if move.plan.verify is not Verify.NONE and not (move.proven(disk.target) or move.noted("waived", disk.target)):
        return "its copy is not proven to be equal"
    return None


def _starts_from_copies(move: Move, seen: Seen) -> bool:
    """Of method `offline` alone, whose guest was off all the time. Elsewhere a guest that is off may have ended before
    libvirt saw which copy it ran on; here the XML was written, and proven, while nobody could start it."""
    proven = move.noted("proven")
    switched = proven is not None and proven.data["where"] == Where.DESTINATION and not move.pending
    ours = all(disk.destination_is_ours for disk in seen.disks)
    by_us = move.plan.method is Method.OFFLINE and not move.noted("decided")
    return by_us and switched and ours and seen.off_on_destination and not seen.domain.managed_save


def lie_below(move: Move, seen: Seen) -> dict[str, str]:
    """Identity of each file that lies below a disk of the guest itself → which, as `used_elsewhere`. While a guest is
    off, libvirt does not name them. Raises HostError."""
    host, found = move.world.host, dict[str, str]()
    for disk in seen.domain.inactive if seen.off else ():
        if disk.path is not None and disk.device == "disk":
            for path, _ in host.chain(disk.path, disk.format):
                if (identity := same(path, host)) is not None:
                    found[identity] = f"disk {disk.target} of the guest"
    return found


def doubt_about_made(
    move: Move, key: str, spec: VolumeSpec, identity: str, seen: Seen, elsewhere: Mapping[str, str]
) -> str | None:
    """Why a volume that the move made may not be deleted, when the guest is proven not to need it."""
    if move.noted("adopted"):
        return "the journal of the move was lost"
    created = move.noted("created", key)
    if created is None:
        return doubt_about_unrecorded(move, key, spec, identity, elsewhere)
    if identity != created.data["identity"]:
        return "it is not the file that svmove made"
    return _used(move, spec.path, identity, seen, elsewhere)


def doubt_about_unrecorded(
    move: Move, key: str, spec: VolumeSpec, identity: str, elsewhere: Mapping[str, str]
) -> str | None:
    """Of a volume whose making was intended, and not recorded: svmove died in between.

    There was no such file when the intention was written. One that was made since, that nobody names or has open,
    and into which nothing was ever written, is ours; and if it weren't, nothing would be lost with it.
    """
    intent = move.intended("create", key)
    if intent is None or move.noted("not-created", key):
        return "libvirt did not make it for this move"
    if (doubt := _used(move, spec.path, identity, None, elsewhere)) is not None:
        return doubt
    if not move.world.host.is_blank(spec.path, spec.format, intent.at):
        return "svmove died while it was made, and it is not empty, so it can't be told whose it is"
    return None


def _used(move: Move, path: str, identity: str, seen: Seen | None, elsewhere: Mapping[str, str]) -> str | None:
    if seen is not None and path in seen.named:
        return "the domain's XML names it"
    if identity in elsewhere:
        return f"{elsewhere[identity]} uses it"
    if holders := move.world.host.holders(path):
        return f"process {holders[0]} has it open"
    return None
