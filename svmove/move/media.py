"""Images in CD-ROM and floppy drives move last: copied, compared, and changed in the drive.

Last, because the guest's disks come first, and because nothing has to be undone then: whatever fails here leaves the
medium as it was, which the guest can read all the time, and is told. What the drive has is read from the XML, live and
inactive, so each step can be done again after a crash. A source is never deleted.

A guest that has locked its tray is asked twice to give the medium up, as by the button of a real drive; one that does
not keeps it. An empty drive stays empty.
"""

from svmove.errors import CopyError, HypervisorError, JournalError, SvmoveError, UnreachableError
from svmove.journal import Kind, Record
from svmove.model import Domain
from svmove.move import cleanup
from svmove.move.context import Move
from svmove.move.phases import Phase
from svmove.move.prepare import create
from svmove.outcomes import GuestOn, MediumOutcome
from svmove.requests import Verify
from svmove.volumes import DiskPlan


def admit(move: Move) -> Phase:
    """Of a move that has nothing but media: what `prepare.admit` does for disks."""
    marker = move.observe().domain.marker
    if not (marker in (None, move.plan.move) or move.world.journal.has_ended(marker)):
        raise CopyError(f"move {marker} has begun to work on the guest", reason="changed", remedy="plan again")
    move.intend("mark")
    move.world.hypervisor.set_marker(move.plan.uuid, move.plan.move)
    return Phase.ADMITTED


def move_alone(move: Move) -> Phase:
    move.may_go_on()
    _move_all(move)
    try:
        let_go(move)
    except (UnreachableError, JournalError):
        raise
    except SvmoveError as error:
        cleanup.leave(move, error)
    return Phase.DONE


def let_go(move: Move) -> Phase:
    """Nothing but the marker has to be undone."""
    if move.observe().domain.marker == move.plan.move:
        move.world.hypervisor.set_marker(move.plan.uuid, None)
    return Phase.ROLLED_BACK


def commit(move: Move) -> Phase:
    _move_all(move)
    return cleanup.commit(move)


def _move_all(move: Move) -> None:
    for medium in move.plan.media:
        if move.noted("medium", medium.target) or move.noted("medium-stays", medium.target):
            continue
        try:
            _bring(move, medium)
            _change(move, medium)
        except (UnreachableError, JournalError):
            raise
        except SvmoveError as error:
            _stays(move, medium, error.text)


def outcomes(record: Record) -> tuple[MediumOutcome, ...]:
    found = []
    for medium in record.plan.media:
        brought = record.last(Kind.FACT, "brought", medium.target)
        changed = record.last(Kind.FACT, "medium", medium.target) is not None
        found.append(
            MediumOutcome(
                target=medium.target,
                pool_to=medium.destination.pool,
                source=medium.source,
                destination=medium.destination.path,
                on=GuestOn.DESTINATION if changed else GuestOn.SOURCE,
                found=bool(brought and brought.data["found"]),
            )
        )
    return tuple(found)


def _bring(move: Move, medium: DiskPlan) -> None:
    """To its destination: copied, unless an equal image is there already, by another guest's move. Raises."""
    if move.noted("brought", medium.target):
        return
    host, spec = move.world.host, medium.destination
    found = host.identity(spec.path) is not None and not move.intended("create", medium.target)
    if not found:
        if (made := move.noted("created", medium.target)) is None:
            create(move, medium.target, spec)
        elif host.identity(spec.path) != made.data["identity"]:
            raise CopyError(f"somebody removed {spec.path}, or put another file in its place")
        move.say(medium.target, text=f"copying {medium.source}")
        _copy(move, medium)
    if (found or move.plan.verify is not Verify.NONE) and not _equal(move, medium):
        raise CopyError(f"another image of that name is there: {spec.path}" if found else "its copy is not equal")
    move.note("brought", medium.target, found=found)


def _copy(move: Move, medium: DiskPlan) -> None:
    def saved(offset: int, end: int) -> bool:
        move.say(medium.target, offset, end)
        return not move.world.cancel.is_set()

    # One that was cut off begins anew: images in drives are small.
    move.world.host.copy_image(
        medium.source,
        medium.source_format,
        medium.destination.path,
        medium.destination.format,
        length=None,
        begin=0,
        bandwidth=lambda: move.terms().bandwidth or medium.bandwidth,
        saved=saved,
    )


def _equal(move: Move, medium: DiskPlan) -> bool:
    """Raises HostError when one can't be read, UnverifiedError when it was stopped."""
    host, spec = move.world.host, medium.destination
    if host.image(spec.path, spec.format).virtual_bytes != spec.capacity:
        return False
    different = host.compare_local(
        medium.source,
        medium.source_format,
        spec.path,
        spec.format,
        0,
        spec.capacity,
        lambda _bytes: not move.world.cancel.is_set(),
        layer=False,
    )
    return different is None


def _change(move: Move, medium: DiskPlan) -> None:
    """In the live and in the inactive XML, where each has the medium that was copied. Raises."""
    try:
        _ask(move, medium)
    except UnreachableError:
        raise
    except HypervisorError:
        # A guest that has unlocked its tray meanwhile, and not opened it, is not heard of: libvirt has waited in vain
        # for the tray (9.0: 5 s), and now it would open at once.
        _ask(move, medium)
    seen, spec = _in_drive(move.world.hypervisor.domain(move.plan.uuid), medium), medium.destination
    if medium.source in seen or spec.path not in seen:
        raise CopyError(f"libvirt did not change it: the drive has {' and '.join(map(str, seen))}")
    move.note("medium", medium.target, path=spec.path)


def _ask(move: Move, medium: DiskPlan) -> None:
    hypervisor, uuid, spec = move.world.hypervisor, move.plan.uuid, medium.destination
    live, inactive = _in_drive(hypervisor.domain(uuid), medium)
    if {live, inactive} & {medium.source}:
        move.intend("change", medium.target, path=spec.path)
        hypervisor.change_medium(
            uuid,
            medium.target,
            spec.path,
            spec.format,
            live=live == medium.source,
            config=inactive == medium.source,
        )
    elif spec.path not in (live, inactive):
        raise CopyError("the drive has another medium by now")


def _in_drive(domain: Domain, medium: DiskPlan) -> tuple[str | None, str | None]:
    """The paths that the live and the inactive XML have. Raises when the guest has ejected it."""
    live, inactive = domain.disk(medium.target), domain.inactive_disk(medium.target)
    if live is not None and live.tray_open:
        raise CopyError("the guest has ejected it")
    return live.path if live else None, inactive.path if inactive else None


def _stays(move: Move, medium: DiskPlan, why: str) -> None:
    """What was copied for nothing goes, if no XML of the guest names it and it is provably ours."""
    seen = move.observe()
    if medium.destination.path not in seen.named:
        cleanup.remove_made(move, (medium,), seen)
    move.note("medium-stays", medium.target, text=f"{medium.source} stays in the drive: {why}")
