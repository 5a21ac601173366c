"""Brings what an overlay has taken into the file below it, and the guest onto that file: QEMU's active commit.

Used twice: at the end of a move by `snapshot`, so that one file is left, and on its way back, so that the guest is
on its source alone.

Why no byte can be lost here: until QEMU has switched, overlay and file below are, together, what the guest has, and a
merge that was cut off is begun again. From the switch on the file below is newer than the overlay. So the intention
to switch is in the journal before it is asked for, and when the guest went off after that and nobody saw the switch,
nothing is merged any more: which file is the newer one can't be told, and the move is held.
"""

from collections.abc import Mapping

from svmove.errors import CopyError, HostError, HypervisorError
from svmove.events import Event
from svmove.model import Domain, DomainState
from svmove.move.context import Move
from svmove.move.observe import DiskSeen
from svmove.volumes import DiskPlan, VolumeSpec

# An event can be lost, so the XML is looked at this often (seconds).
_TICK = 0.5
# QEMU switches when nothing is dirty, which a busy writer can put off; it can't be called back.
_SWITCH_WAIT = 120.0
# libvirt writes its XML after QEMU's end; what it has not written by then it never will.
_XML_WAIT = 30.0


class _Merge:
    def __init__(self, move: Move, disk: DiskPlan, over: VolumeSpec, below: str, format_: str) -> None:
        self.move, self.disk = move, disk
        self.over, self.below, self.format = over, below, format_

    def look(self) -> tuple[Domain, DiskSeen, bool]:
        """The domain, the disk, and whether the guest is off."""
        seen = self.move.observe().of([self.disk])
        return seen.domain, seen.disks[0], seen.off

    def run(self) -> None:
        while True:
            domain, disk, off = self.look()
            if off:
                self._off(domain, disk)
                return
            if disk.live == self.below:
                self._settle()
                return
            if disk.live != self.over.path:
                raise self._trouble(disk)
            if not disk.merges:
                found = domain.disk(self.disk.target)
                if found is None or found.chain[:1] != (self.below,):
                    raise self._trouble(disk)  # QEMU would merge it into another file
                self.move.intend("merge", self.disk.target, over=self.over.path, below=self.below)
                self.move.world.hypervisor.begin_merge(self.move.plan.uuid, self.disk.target)
            if self._await_ready():
                self._switch()

    def _await_ready(self) -> bool:
        """False when it must be looked at anew: the guest went off, or the switch is through. Raises CopyError."""
        hypervisor, uuid = self.move.world.hypervisor, self.move.plan.uuid
        while True:
            _, disk, off = self.look()
            if off or disk.live == self.below:
                return False
            if not disk.merges:
                raise self._trouble(disk)
            assert disk.mirror is not None
            if disk.mirror.ready or disk.mirror.ending:
                return True
            job = hypervisor.job(uuid, self.disk.target)
            if job is not None and job.remaining is not None:
                self.move.say(self.disk.target, job.done, job.end, "merging")
            self.move.events.next(_TICK)

    def _switch(self) -> None:
        self.move.intend("switch", self.disk.target, over=self.over.path, below=self.below)
        trouble: HypervisorError | None = None
        try:
            self.move.world.hypervisor.request_pivot(self.move.plan.uuid, self.disk.target)
        except HypervisorError as error:
            trouble = error

        def ended(_event: Event | None) -> bool:
            _, disk, off = self.look()
            return off or disk.mirror is None

        if not self.move.await_(_SWITCH_WAIT, ended):
            raise trouble or self._trouble(self.look()[1])
        _, disk, off = self.look()
        if not off and disk.live == self.over.path:
            raise trouble or self._trouble(disk)

    def _settle(self) -> None:
        """Until live XML, inactive XML and QEMU's open files agree on the file below."""
        if self.move.await_(_XML_WAIT, lambda _event: self._settled(), tick=0.05):
            self._merged()
            return
        _, disk, _ = self.look()
        stale = disk.live == self.below and disk.inactive == self.over.path and disk.mirror is None
        if stale and self.over.path not in disk.held:  # libvirt died between the end of QEMU's job and its own XML
            self.move.intend("redefine", sources={self.disk.target: self.below})
            sources = {self.disk.target: (self.below, self.format)}
            self.move.world.hypervisor.set_sources(self.move.plan.uuid, sources, running=True)
            if self._settled():
                self._merged()
                return
        raise self._trouble(self.look()[1])

    def _settled(self) -> bool:
        _, disk, _ = self.look()
        named = disk.live == self.below and (disk.inactive == self.below or not disk.persistent)
        return named and disk.mirror is None and self.below in disk.held and self.over.path not in disk.held

    def _may_hold_writes(self) -> bool:
        """Whether the guest may have written into the overlay. By what it has: a freeze that was asked for may have
        happened without anybody's having seen it, and one that libvirt forgot too."""
        if not self.move.intended("lay-over") or self.move.world.host.identity(self.over.path) is None:
            return False
        return bool(self.move.world.host.extents(self.over.path, self.over.format))

    def _merged(self) -> None:
        if (self._begun("merge") or self._begun("commit")) and not self._over():
            self.move.note("merged", self.disk.target, over=self.over.path, below=self.below)

    def _off(self, domain: Domain, disk: DiskSeen) -> None:
        """The guest is off: qemu-img merges, under QEMU's own lock, and the next start is from the file below."""
        host, target = self.move.world.host, self.disk.target
        gone = domain.state is DomainState.GONE
        named = disk.inactive == self.over.path
        if self._over() or not (named or self._may_hold_writes()):
            return
        if not (named or gone):
            # libvirt writes that after a switch; and we, after qemu-img.
            if disk.inactive == self.below and (self._begun("switch") or self._begun("commit")):
                self._merged()
                return
            raise CopyError(
                f"the guest is off, {self.over.path} has what it wrote, and its next start is not from there: {disk}",
                reason="unclear",
                remedy=f"start it from {self.over.path} (virsh edit) if nothing newer was written to {self.below}",
            )
        if self._begun("switch"):
            raise CopyError(
                f"the guest went off while {self.over.path} was merged into {self.below}, and it can't be told "
                f"which of them is the newer one: {disk}",
                reason="unclear",
            )
        self.move.intend("commit", target, over=self.over.path, below=self.below)
        host.commit_overlay(self.over.path, self.over.format)
        if not gone:
            sources = {target: (self.below, self.format)}
            self.move.world.hypervisor.set_sources(self.move.plan.uuid, sources, running=False)
        self._merged()

    def _begun(self, what: str) -> bool:
        entry = self.move.intended(what, self.disk.target)
        return entry is not None and entry.data["over"] == self.over.path

    def _over(self) -> bool:
        merged = self.move.noted("merged", self.disk.target)
        return merged is not None and merged.data["over"] == self.over.path

    def _trouble(self, disk: DiskSeen) -> CopyError:
        return CopyError(f"{self.over.path} could not be merged into {self.below}: {disk}", reason="merge-failed")


def merge(move: Move, disk: DiskPlan, *, forward: bool) -> None:
    """Idempotent; nothing is done for a guest that is not on an overlay of ours.

    `forward`: of the destination, else of the source. Raises CopyError, HypervisorError, HostError.
    """
    if disk.overlay is None:
        return
    if forward:
        spec = disk.destination
        _Merge(move, disk, disk.overlay.destination, spec.path, spec.format).run()
    else:
        _Merge(move, disk, disk.overlay.source, disk.source, disk.source_format).run()


def fold(move: Move, disk: DiskPlan, elsewhere: Mapping[str, str]) -> str | None:
    """A source that is kept is made one file, as it was at the cutover; nobody uses it any more. Idempotent.

    Returns why it can't be. `elsewhere`: identity of each file that somebody else names → who.
    """
    overlay, host = disk.overlay, move.world.host
    if overlay is None or move.noted("folded", disk.target):
        return None
    for key, path in ((f"{disk.target}:from", overlay.source.path), (disk.target, disk.source)):
        known = move.noted("source", key) or move.noted("created", key)
        identity = host.identity(path)
        if known is None or identity != known.data["identity"]:
            return f"{path} is not the file that it was"
        if identity in elsewhere or host.holders(path):
            return f"somebody uses {path}, and what was written last is here"
    move.intend("fold", disk.target, over=overlay.source.path, below=disk.source)
    try:
        host.commit_overlay(overlay.source.path, overlay.source.format)
    except HostError as error:
        return f"it has what was written to {disk.source} last: {error.text}"
    move.note("folded", disk.target)
    return None
