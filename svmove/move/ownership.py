"""Whose is this file, and who uses it? A doubt, in words, keeps a file; None lets it go.

A file is ours when (1) the journal says so, (2) it is the very file that the journal knows, by device and inode,
since somebody may have put another one there, and (3) nobody names it or has it open.
"""

from collections.abc import Mapping

from svmove.move.context import Move
from svmove.move.observe import Seen, Where
from svmove.moves import DiskPlan, Verify


def used_elsewhere(move: Move) -> dict[str, str]:
    """Identity of each file that somebody else names → who. By identity: a path may be a link."""
    host = move.world.host
    used = move.world.hypervisor.paths_in_use(besides=move.plan.uuid)
    return {identity: who for path, who in used.items() if (identity := host.identity(path)) is not None}


def doubt_about_source(move: Move, disk: DiskPlan, seen: Seen, elsewhere: Mapping[str, str]) -> str | None:
    """Why the source may not be deleted after a commit."""
    if seen.off:
        return "the guest is off, so it can't be proven which copy it uses"
    if seen.where is not Where.DESTINATION:
        return f"the guest is not proven on its destinations: {seen}"
    if move.plan.verify is not Verify.NONE and not (move.proven(disk.target) or move.noted("waived", disk.target)):
        return "its copy is not proven to be equal"
    known = move.noted("source", disk.target)
    identity = move.world.host.identity(disk.source)
    if known is None or identity is None or identity != known.data["identity"]:
        return "it is not the file that was copied"
    return _used(move, disk.source, identity, elsewhere)


def doubt_about_destination(move: Move, disk: DiskPlan, identity: str, elsewhere: Mapping[str, str]) -> str | None:
    """Why what lies at the destination's path may not be deleted, when the guest is proven on its source."""
    if move.noted("adopted"):
        return "the journal of the move was lost"
    created = move.noted("created", disk.target)
    if created is None:
        return doubt_about_unrecorded(move, disk, identity, elsewhere)
    if identity != created.data["identity"]:
        return "it is not the file that svmove made"
    return _used(move, disk.destination.path, identity, elsewhere)


def doubt_about_unrecorded(move: Move, disk: DiskPlan, identity: str, elsewhere: Mapping[str, str]) -> str | None:
    """Of a volume whose making was intended, and not recorded: svmove died in between.

    There was no such file when the intention was written. One that was made since, that nobody names or has open,
    and into which nothing was ever written, is ours; and if it weren't, nothing would be lost with it.
    """
    spec, intent = disk.destination, move.intended("create", disk.target)
    if intent is None or move.noted("not-created", disk.target):
        return "libvirt did not make it for this move"
    if (doubt := _used(move, spec.path, identity, elsewhere)) is not None:
        return doubt
    if not move.world.host.is_blank(spec.path, spec.format, intent.at):
        return "svmove died while it was made, and it is not empty, so it can't be told whose it is"
    return None


def _used(move: Move, path: str, identity: str, elsewhere: Mapping[str, str]) -> str | None:
    if identity in elsewhere:
        return f"{elsewhere[identity]} uses it"
    if holders := move.world.host.holders(path):
        return f"process {holders[0]} has it open"
    return None
