"""Lines on svmove's own: the policy, the journal, the clock, what moves have left."""

from collections.abc import Iterator

from svmove.health import Facts, Line, Mark
from svmove.units import MiB, show_duration, show_size

# A move writes some hundred KiB; a campaign some MiB.
_LEAST = 64 * MiB
_VOLATILE = ("tmpfs", "ramfs")
_SHARED = ("nfs", "nfs4", "cifs", "smb2", "smbfs", "ceph", "fuseblk", "fuse")
# Two hosts of one journal may differ by so much, and nobody notices.
_APART = 5.0


def policy(facts: Facts) -> Iterator[Line]:
    if facts.policy_trouble is not None:
        seen = facts.policy_trouble.text
        remedy = facts.policy_trouble.remedy or "svmove policy check"
        yield Line(mark=Mark.PROBLEM, subject="policy", code="policy", seen=seen, remedy=remedy)
        return
    files = ", ".join(facts.policy_files)
    seen = f"{files}: no fault" if files else "there is no file; every limit has its default"
    yield Line(mark=Mark.OK, subject="policy", code="policy", seen=seen)


def journal(facts: Facts) -> Iterator[Line]:
    found = facts.journal
    if found.trouble is not None:
        text, remedy = found.trouble.text, found.trouble.remedy
        yield Line(mark=Mark.PROBLEM, subject="journal", code="journal", seen=text, remedy=remedy)
        return
    lasts = True
    if found.kind in _VOLATILE:
        lasts = False
        yield Line(
            mark=Mark.WARNING,
            subject="journal",
            code="journal-volatile",
            seen=f"{found.name} is on {found.kind}: after a power cut nobody knows which copy is the good one",
            remedy="name one on a disk: --journal, or SVMOVE_JOURNAL",
        )
    if found.kind in _SHARED:
        lasts = False
        yield Line(
            mark=Mark.WARNING,
            subject="journal",
            code="journal-shared",
            seen=f"{found.name} is on {found.kind}: SQLite's locks, and so who works on a move, can't be trusted there",
            remedy="name one on a local disk; for several hosts one in PostgreSQL: --journal postgresql://user@host/database",
        )
    if found.free is not None and found.free < _LEAST:
        lasts = False
        yield Line(
            mark=Mark.WARNING,
            subject="journal",
            code="journal-full",
            seen=f"{show_size(found.free)} free beside {found.name}; a move that can't write to it stops where it is",
            remedy="free some",
        )
    if lasts:
        where = "a server" if found.on_server else f"{found.kind or 'a disk'}, {show_size(found.free or 0)} free"
        seen = f"{found.name} can be written to, and lasts ({where})"
        yield Line(mark=Mark.OK, subject="journal", code="journal", seen=seen)


def clock(facts: Facts) -> Iterator[Line]:
    """Windows and --at are in local time; slots, deadlines and ids go by the clock of the host."""
    newest, well = facts.journal.newest, True
    if newest is not None and newest > facts.now + _APART:
        well = False
        yield Line(
            mark=Mark.WARNING,
            subject="clock",
            code="clock",
            seen=f"the newest move began {show_duration(newest - facts.now)} in the future: this clock, or that of "
            "another host of the journal, is wrong",
            remedy="timedatectl set-ntp true",
        )
    if not facts.zones:
        well = False
        yield Line(
            mark=Mark.WARNING,
            subject="clock",
            code="no-zones",
            seen='no time zones are known by name: windows and --at with one ("22:00 Europe/Berlin") are refused',
            remedy="apt-get install tzdata",
        )
    if well:
        yield Line(
            mark=Mark.OK,
            subject="clock",
            code="clock",
            seen="it has not gone back since the newest move, and time zones have names",
        )


def moves(facts: Facts) -> Iterator[Line]:
    found = facts.moves
    if found is None:
        return
    if found.trouble is not None:
        text, remedy = found.trouble.text, found.trouble.remedy
        yield Line(mark=Mark.WARNING, subject="moves", code="moves", seen=text, remedy=remedy)
        return
    for move in found.left:
        seen, remedy = f"nobody works on move {move}", f"svmove resume {move}"
        yield Line(mark=Mark.WARNING, subject="moves", code="unfinished", seen=seen, remedy=remedy)
    for move in found.held:
        seen, remedy = f"move {move} is held: both copies are kept", f"svmove show {move}, then accept or rollback"
        yield Line(mark=Mark.WARNING, subject="moves", code="held", seen=seen, remedy=remedy)
    for move in found.unknown:
        seen, remedy = (
            f"a guest is marked by move {move}, which this journal doesn't know",
            "svmove resume --all holds it",
        )
        yield Line(mark=Mark.WARNING, subject="moves", code="journal-lost", seen=seen, remedy=remedy)
    if found.removable:
        seen = f"ended moves left {found.removable} things behind that may go"
        yield Line(
            mark=Mark.NOTE, subject="moves", code="leftovers", seen=seen, remedy="svmove gc, then svmove gc --yes"
        )
    if found.kept:
        seen = f"ended moves left {found.kept} things behind that may not go by themselves"
        yield Line(mark=Mark.NOTE, subject="moves", code="leftovers-kept", seen=seen, remedy="svmove gc says why")
    if not (found.left or found.held or found.unknown or found.removable or found.kept):
        yield Line(
            mark=Mark.OK, subject="moves", code="moves", seen="none is unfinished or held, nothing is left behind"
        )
