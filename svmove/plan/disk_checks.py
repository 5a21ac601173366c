"""Checks of each disk: its shape, what lies below it, who else works on it."""

from collections.abc import Iterator

from svmove.model import Disk, SourceKind
from svmove.moves import Finding, Level
from svmove.plan import luks
from svmove.plan.case import Case, nearest, refuse
from svmove.plan.choice import fully_allocated
from svmove.requests import Allocation, Method, Verify

FORMATS = ("raw", "qcow2")
_NBD_KEEPS_TO_ITS_THREAD = 9_000_000


def unknown(case: Case) -> Iterator[Finding]:
    known = {disk.target for disk in case.inventory.domain.disks}
    for asked in case.request.disks:
        if asked.target not in known:
            yield refuse(
                "no-such-disk",
                f"domain {case.inventory.domain.name} has no disk {asked.target!r}",
                nearest(asked.target, known),
                asked.target,
            )


def shapes(case: Case) -> Iterator[Finding]:
    """Disks that libvirt would copy, or start to copy, to no good end."""
    for choice in case.choices:
        disk, target = choice.disk, choice.disk.target
        if disk.device not in ("disk", "lun"):
            yield refuse(disk.device, f"{target} is a {disk.device}, which is not moved", "leave it out", target)
        elif disk.device == "lun":
            yield refuse(
                "lun",
                f"{target} is a SCSI LUN passed through, which no file can replace",
                "leave it out",
                target,
            )
        elif disk.transient:
            yield refuse(
                "transient-disk",
                f"{target} is <transient/>: its writes are thrown away at the end",
                "leave it out",
                target,
            )
        elif disk.bus == "sd" and case.inventory.domain.live:
            yield refuse(
                "sd-card",
                f"{target} is an SD card, which libvirt has no block jobs for",
                "shut the guest down: then the same command moves it",
                target,
            )
        elif disk.shareable:
            yield refuse("shareable", f"{target} is shareable: another guest may write to it", "leave it out", target)
        elif not disk.path or disk.kind is SourceKind.OTHER:
            yield refuse(
                "unsupported-source",
                f"{target} is neither a file nor a block device, nor on the network by rbd, iSCSI or NBD",
                "leave it out",
                target,
            )
        elif disk.format not in FORMATS:
            yield refuse(
                "unsupported-format",
                f"{target} has format {disk.format}; svmove moves {' and '.join(FORMATS)}",
                None,
                target,
            )
        elif disk.encrypted or (choice.image is not None and choice.image.encrypted and disk.luks is None):
            text = f"{target} is encrypted, by something else than one LUKS passphrase that QEMU is handed"
            yield refuse("encrypted", text, "leave it out", target)
        elif choice.image is not None and choice.image.data_file is not None:
            yield refuse("data-file", f"{target} keeps its data in {choice.image.data_file!r}", "leave it out", target)
        elif luks.unreadable(case, disk.path) or target in case.inventory.full:
            continue  # said with its secret, and its pool
        elif choice.image is None and (case.inventory.can_read_host or not case.inventory.domain.live):
            yield refuse(
                "unreadable",
                f"{target}: qemu-img can't read {disk.path}",
                "check the file: qemu-img info -U",
                target,
            )


def iothreads(case: Case) -> Iterator[Finding]:
    """QEMU's NBD server before 9.0 aborts, and the guest with it, when a reader of a disk in an iothread hangs up:
    `nbd_blockdev_client_closed: Assertion qemu_in_main_thread()`, seen with 7.2 at the end of each comparison."""
    exported = case.verify is not Verify.NONE and case.method is not Method.OFFLINE
    if not exported or case.inventory.versions.qemu >= _NBD_KEEPS_TO_ITS_THREAD:
        return
    for choice in case.choices:
        if choice.disk.iothread:
            yield refuse(
                "iothread",
                f"{choice.disk.target} has an iothread, and comparing what it has been copied to would crash the "
                "guest: QEMU before 9.0 can't export such a disk to a reader",
                "shut it down, and move it while it is off; or --verify none --keep-source, and compare then; or "
                "update QEMU to 9.0, and restart the guest",
                choice.disk.target,
            )


def full(case: Case) -> Iterator[Finding]:
    """QEMU drains a disk's writes when a copy of it begins, and they don't end: its main loop, all of the guest, would
    stand until there is room. Whether there are any nobody can tell; and nobody else can open the image."""
    for choice in case.choices:
        if choice.disk.target in case.inventory.full:
            yield refuse(
                "source-full",
                f"{choice.disk.target}: the pool of {choice.disk.path} is full, or over its quota: what the guest "
                "writes there waits, all of the guest would if a copy began, and so does who opens it anew",
                "make some room there (of Ceph: ceph health detail; a higher quota, or full ratio, will do)",
                choice.disk.target,
            )


def held(case: Case) -> Iterator[Finding]:
    """libvirt would say so in the end, when the copy is ready: "Operation not permitted"."""
    for choice in case.choices:
        if choice.disk.target in case.inventory.unheld:
            yield refuse(
                "source-replaced",
                f"{choice.disk.target}: {choice.disk.path} is not the file that the guest writes to: somebody has "
                "removed or replaced it",
                "keep the guest running: what it has open may be the only good copy (ls -l /proc/PID/fd); save its "
                "data from inside, or by a backup",
                choice.disk.target,
            )


def jobs(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        target = choice.disk.target
        job = case.inventory.jobs.get(target) or (choice.disk.mirror.job if choice.disk.mirror else None)
        if job is not None and case.inventory.domain.marker is None:
            yield refuse(
                "block-job",
                f"a block job ({job}) of somebody else runs on {target}",
                f"wait for it, or end it: virsh blockjob {case.inventory.domain.name} {target} --abort",
                target,
            )


def configuration(case: Case) -> Iterator[Finding]:
    """libvirt silently skips the inactive XML after a pivot when its disk is missing or another one."""
    domain = case.inventory.domain
    if not domain.persistent:
        return
    for choice in case.choices:
        live, inactive = choice.disk, domain.inactive_disk(choice.disk.target)
        if inactive is None:
            text = f"{live.target} is not in the inactive XML"
        elif inactive.luks != live.luks or inactive.encrypted != live.encrypted:
            text = f"{live.target} is not encrypted after the next start as it is live"
        elif (inactive.path, inactive.format, inactive.device) != (live.path, live.format, live.device):
            after = f"{inactive.path} ({inactive.format})"
            text = f"{live.target} is {live.path} ({live.format}) live, but {after} after the next start"
        elif domain.live and (inactive.serial, inactive.bus) != (live.serial, live.bus):
            yield _identity(live, inactive, domain.name)
            continue
        else:
            continue
        yield refuse(
            "inactive-differs",
            text,
            f"make both the same: virsh edit {domain.name}, or virsh attach-disk --config",
            live.target,
        )


def _identity(live: Disk, inactive: Disk, name: str) -> Finding:
    """A move keeps it; who finds it changed after the next start would look for the cause in the move."""
    return Finding(
        level=Level.WARN,
        code="identity-differs",
        text=f"{live.target} has {_known_by(live)} live, but {_known_by(inactive)} after the next start: the guest may "
        "not find its disk by that; the move changes neither",
        remedy=f"make both the same: virsh edit {name}",
        target=live.target,
    )


def _known_by(disk: Disk) -> str:
    return f"serial {disk.serial!r} on bus {disk.bus}" if disk.serial else f"no serial, on bus {disk.bus}"


def sharing(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        other = case.inventory.used_elsewhere.get(choice.disk.path or "")
        if other is not None:
            yield refuse(
                "used-elsewhere",
                f"{choice.disk.path} is used by somebody else: {other}",
                "detach it there first",
                choice.disk.target,
            )


def told(case: Case) -> Iterator[Finding]:
    """What changes, and is none the worse for it, but must be known."""
    for choice in case.choices:
        target = choice.disk.target
        if choice.image is not None and choice.volume is None and not case.request.keep_source:
            yield Finding(
                level=Level.NOTE,
                code="not-in-a-pool",
                text=f"{target} is in no pool: {choice.disk.path} is copied, and kept afterwards",
                remedy="remove it yourself when the move is done",
                target=target,
            )
        if choice.disk.read_only and not case.request.keep_source:
            yield Finding(
                level=Level.NOTE,
                code="read-only",
                text=f"{target} is read-only, perhaps a template of others: {choice.disk.path} is kept afterwards",
                remedy="remove it yourself when nobody needs it",
                target=target,
            )
        if case.request.trim and choice.disk.discard != "unmap":
            yield Finding(
                level=Level.NOTE,
                code="no-discard",
                text=f"{target} does not pass discards on, so --trim frees nothing there",
                remedy="set discard='unmap' on its <driver>; it counts from the guest's next start",
                target=target,
            )


def bitmaps(case: Case) -> Iterator[Finding]:
    """Dirty bitmaps, which incremental backups start from: libvirt carries them over into qcow2."""
    for choice in case.choices:
        target, spec = choice.disk.target, choice.destination
        if spec is None:
            continue
        points = [point for point in case.inventory.domain.checkpoints if target in point.targets]
        names = [point.name for point in points]
        own = [name for name in (choice.image.bitmaps if choice.image else ()) if name not in names]
        anew = case.method is Method.OFFLINE and not choice.as_it_is
        what, lost = ("raw", True) if spec.format == "raw" else ("a file that is made anew", anew)
        if points and not lost:
            yield Finding(
                level=Level.NOTE,
                code="checkpoints",
                text=f"{target}: libvirt carries the bitmaps of its checkpoints over ({', '.join(names)})",
                remedy="it is looked afterwards, and told if one is lost",
                target=target,
            )
        elif points:
            others = sorted({other for point in points for other in point.targets} - {target})
            yield Finding(
                level=Level.WARN,
                code="checkpoints",
                text=f"{target}: {what} can't carry dirty bitmaps, so its checkpoints go: {', '.join(names)}"
                + (f"; what they cover of {', '.join(others)} stays" if others else ""),
                remedy="make its next backup a full one, or move it as qcow2: --format qcow2",
                target=target,
            )
        if own and lost:
            yield Finding(
                level=Level.WARN,
                code="bitmaps",
                text=f"{target}: {what} can't carry dirty bitmaps, so these are lost: {', '.join(own)}",
                remedy="make the next backup of whoever made them a full one, or move it as qcow2: --format qcow2",
                target=target,
            )


def zeroes(case: Case) -> Iterator[Finding]:
    """QEMU's mirror keeps holes, and of raw what was allocated and never written; it does not look for zeroes."""
    if case.request.allocation is not Allocation.THIN:
        return
    for choice in case.choices:
        target = choice.disk.target
        if choice.image is None or not fully_allocated(choice.image):
            continue
        if choice.disk.detect_zeroes == "unmap" and choice.disk.discard == "unmap":
            continue
        yield Finding(
            level=Level.NOTE,
            code="zeroes-stay",
            text=f"{target}: "
            + (
                "what was never written becomes holes; zeroes that the guest has written stay allocated"
                if choice.image.format == "raw"
                else "what a qcow2 has preallocated is data to QEMU, so its zeroes stay allocated, written or not"
            ),
            remedy="have them found: detect_zeroes='unmap' and discard='unmap' on its <driver> before the guest starts",
            target=target,
        )
