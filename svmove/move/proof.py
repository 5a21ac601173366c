"""Where is each disk after its pivot? Nothing of what was asked for, answered or reported counts.

The three witnesses are asked until they agree: live XML, inactive XML and QEMU's open files. What is neither proven
"still on the source" nor proven "on the destination" is held, with both copies kept. Nothing is deleted here.
"""

from svmove.errors import CopyError, HostError, HypervisorError
from svmove.events import Event
from svmove.journal import Kind
from svmove.move import throttle
from svmove.move.context import Move
from svmove.move.definition import define
from svmove.move.observe import Seen, Where
from svmove.move.phases import Phase
from svmove.outcomes import GuestOn

# libvirt closes the old image and writes its XML after the event; under load that takes a moment.
_PROOF_WAIT = 30.0


def settle(move: Move, *, trouble: str | None) -> Phase:
    """After pivots may have been requested: waits until the three witnesses agree on each disk, and says where."""
    throttle.release_if_possible(move)  # the guest runs again, and nothing has to be caught up with any more
    seen = move.observe()

    def settled(_event: Event | None) -> bool:
        nonlocal seen
        seen = move.observe()
        return seen.off or all(disk.settled for disk in seen.disks)

    if not move.await_(_PROOF_WAIT, settled):
        trouble = _mend(move, seen) or trouble
        seen = move.observe()
    over = [disk.target for disk in seen.disks if disk.where is Where.DESTINATION]
    if seen.where is Where.SOURCE:
        # Mirrors that are still there are cancelled by the roll-back, which looks again before it deletes.
        move.note("proven", where=Where.SOURCE, seen=str(seen))
        raise CopyError(trouble or "the pivot was not carried out", reason="pivot-failed")
    if seen.off or any(disk.where is Where.UNCLEAR for disk in seen.disks):
        move.blame("unclear", f"after the cutover ({trouble or 'no error was seen'}): {seen}")
        return Phase.HELD
    for target in [disk.target for disk in move.pending if disk.target in over]:
        move.note("over", target)
    mixed = bool(move.pending)
    move.note("proven", where=GuestOn.MIXED if mixed else GuestOn.DESTINATION, seen=str(seen), trouble=trouble)
    if not move.unverified:
        return onward(move)
    # An export with our socket was begun in the pause, so it shows the destination as it was then.
    if move.world.hypervisor.exports(move.plan.uuid, move.socket):
        return Phase.VERIFYING
    move.blame("unverified", f"the moment to freeze the destinations was missed: {seen}")
    return Phase.HELD


def _mend(move: Move, seen: Seen) -> str | None:
    """Writes what libvirt would have written, had its daemon not died between the end of QEMU's job and its XML.
    What went wrong with that."""
    stale = [disk.plan for disk in seen.disks if disk.stale_start]
    if not stale:
        return None
    sources = {disk.target: (disk.lands.path, disk.lands.format) for disk in stale}
    try:
        define(move, sources, running=True)
    except (HypervisorError, HostError) as error:
        return f"the XML of the next start can't be written: {error.text}"
    return None


def onward(move: Move) -> Phase:
    """After what went over was verified, or need not be: to the end, or from the copy on with the rest."""
    if not move.pending:
        return Phase.COMMITTED
    rounds = sum(entry.data["where"] == GuestOn.MIXED for entry in move.record.all(Kind.FACT, "proven"))
    left = ", ".join(disk.target for disk in move.pending)
    if rounds < move.world.policy.move.cutover_attempts:
        move.say(text=f"{left} did not go over with the others, and is copied again")
        return Phase.PREPARED
    move.blame("mixed", f"{left} did not go over in {rounds} cutovers; each disk is good where it is: {move.observe()}")
    return Phase.HELD
