"""Why a disk can't move, by the facts that are cheap to have of all disks at once (`svmove.fleet`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svmove import location
from svmove.fleet import Stay
from svmove.model import Disk, Domain, DomainState, SourceKind, Versions, Volume
from svmove.plan.disk_checks import FORMATS
from svmove.plan.places import KINDS

# QEMU before it can't compare a disk that has an iothread (disk_checks.py).
_NBD_KEEPS_TO_ITS_THREAD = 9_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is looked up for each disk."""

    volumes: Mapping[str, Volume]  # by identity of their location
    kinds: Mapping[str, str]  # of pools: their types
    users: Mapping[str, int]  # of each file: how many disks name it as their own, or as one below
    versions: Versions
    owners: Mapping[str, str]  # by the domain's UUID: the move that the journal says owns it


def _owned(domain: Domain, _disk: Disk, known: Known) -> Stay | None:
    if (move := known.owners.get(domain.uuid) or domain.marker) is not None:
        return Stay(code="move-running", text=f"move {move} owns {domain.name}", remedy=f"svmove resume {move}")
    return None


def _state(domain: Domain, _disk: Disk, _known: Known) -> Stay | None:
    if domain.state is DomainState.OTHER:
        return Stay(code="domain-state", text=f"{domain.name} is neither running nor off", remedy="wait until it is")
    if domain.managed_save:
        text = f"{domain.name} has a saved state, which names its files itself"
        return Stay(code="managed-save", text=text, remedy=f"virsh start {domain.name}")
    return None


def _shape(domain: Domain, disk: Disk, known: Known) -> Stay | None:
    leave = f"shut {domain.name} down, and see to it by hand"
    if disk.device == "lun":
        return Stay(code="lun", text="a SCSI LUN passed through", remedy=leave)
    if disk.transient:
        return Stay(code="transient-disk", text="<transient/>: its writes are thrown away at the end", remedy=leave)
    if disk.shareable:
        return Stay(code="shareable", text="another guest may write to it", remedy=leave)
    if disk.kind is SourceKind.OTHER:
        return Stay(code="unsupported-source", text="neither a file nor a device, nor on the network", remedy=leave)
    if disk.format not in FORMATS:
        return Stay(code="unsupported-format", text=f"of format {disk.format}", remedy=f"qemu-img convert; {leave}")
    if disk.encrypted:
        return Stay(code="encrypted", text="encrypted by something else than one LUKS passphrase", remedy=leave)
    if disk.iothread and domain.live and known.versions.qemu < _NBD_KEEPS_TO_ITS_THREAD:
        text = "it has an iothread, and QEMU before 9.0 can't compare such a disk while it runs"
        return Stay(code="iothread", text=text, remedy=f"shut {domain.name} down, and move it while it is off")
    return None


def _busy(domain: Domain, disk: Disk, _known: Known) -> Stay | None:
    if disk.mirror is None:
        return None
    return Stay(
        code="block-job",
        text=f"a block job ({disk.mirror.job}) of somebody else runs on it",
        remedy=f"virsh blockjob {domain.name} {disk.target} --abort",
    )


def _shared(_domain: Domain, disk: Disk, known: Known) -> Stay | None:
    if disk.path is None or known.users[location.identity(disk.path)] == 1:
        return None
    return Stay(
        code="used-elsewhere", text="another guest or volume uses the same file", remedy="detach it there first"
    )


def _off_file(domain: Domain, disk: Disk, known: Known) -> Stay | None:
    volume = known.volumes.get(location.identity(disk.path)) if disk.path else None
    kind = KINDS.get(known.kinds.get(volume.pool, "")) if volume else None
    if domain.state is not DomainState.OFF or (kind is not None and kind.files):
        return None
    return Stay(code="offline-files", text=f"{domain.name} is off, and its disk is no file", remedy="start the guest")


def _read_only(domain: Domain, disk: Disk, _known: Known) -> Stay | None:
    if not disk.read_only:
        return None
    text = "read-only, perhaps a template of others: a move copies it, and keeps it here"
    return Stay(code="read-only", text=text, remedy=f"svmove move {domain.name}, then delete it here")


_CHECKS: Sequence[Callable[[Domain, Disk, Known], Stay | None]] = (
    _owned,
    _state,
    _shape,
    _busy,
    _shared,
    _off_file,
    _read_only,
)


def why_it_stays(domain: Domain, disk: Disk, known: Known) -> Stay | None:
    """None: nothing that is known here speaks against a move."""
    return next((stay for check in _CHECKS if (stay := check(domain, disk, known)) is not None), None)
