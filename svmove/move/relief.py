"""What must be done for a guest whose svmove died where it suffers from that, and no more than that."""

from svmove.errors import UnverifiedError
from svmove.journal import Journal, Kind
from svmove.move import hanging, throttle
from svmove.move.context import Move
from svmove.move.phases import RESTING, Phase
from svmove.move.quiet import thaw
from svmove.move.standstill import release, standing_since
from svmove.move.verify import enough_scratch
from svmove.ports_host import Host

# Who comes to take the move out of HELD waits 0.5 s for whoever looks at it (`journal.lock`).
_GLANCE = 0.4


def relieve(move: Move) -> bool:
    """One look; whether nothing more needs to be watched.

    A guest that svmove suspended is woken, and one that it froze is thawed; one whose writes it holds back has its own
    limits again. While the export is there, the scratch space is watched, and the export ended before it runs short.

    Raises UnreachableError, HypervisorError, HostError, JournalError.
    """
    hypervisor, uuid = move.world.hypervisor, move.plan.uuid
    if move.phase is Phase.HELD:
        if hanging.in_the_way(move, _GLANCE) is not None:
            return False
        hanging.end_left(move)
    if move.phase in (Phase.CUTOVER, Phase.VERIFYING):
        release(move, hypervisor.domain(uuid))
    thawed = thaw(move)
    throttle.release(move)
    if move.phase not in (Phase.CUTOVER, Phase.VERIFYING):
        return thawed or move.phase in RESTING
    if not hypervisor.exports(uuid, move.socket):
        return thawed
    try:
        enough_scratch(move)
    except UnverifiedError as error:
        move.note("relieved", why=error.text)
        hypervisor.end_export(uuid, move.socket)
        if hypervisor.domain(uuid).io_error:
            hypervisor.resume(uuid)
        return thawed
    return False


def brake(journal: Journal, host: Host, move: str, now: float) -> None:
    """Without libvirt, whose daemon died as well: a guest that svmove suspended goes on by QEMU's own monitor. One
    that it froze must wait for `relieve`, since nobody reaches its agent.

    Raises RefusedError when a process works on the move, NotFoundError, JournalError, HostError.
    """
    with journal.working_on(move):
        record = journal.read(move)
        if (began := standing_since(record)) is None:
            return
        process = host.process(record.plan.uuid)
        if process is not None and host.go_on(process):
            seconds = {"seconds": max(now - began, 0.0)}
            journal.write(move, now, record.phase, Kind.FACT, "woken", None, seconds)
