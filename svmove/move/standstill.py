"""A guest that stands still by our doing: what is done meanwhile, and how it goes on, whoever died."""

from collections.abc import Collection

from svmove.errors import HostError, SvmoveError
from svmove.events import Event
from svmove.journal import Record
from svmove.model import Domain, DomainState
from svmove.move.context import Move
from svmove.move.observe import Where
from svmove.move.quiet import thaw
from svmove.requests import Verify

# At least so long, even if it stands still for longer than was promised already: without its export the move would be
# held. Pivots take 20 to 40 ms, and libvirt's XML a moment more.
_FREEZE_WAIT = 0.3


def begin_export(move: Move, targets: Collection[str]) -> None:
    try:
        move.world.hypervisor.begin_export(move.plan.uuid, scratch_files(move, targets), move.socket)
    except SvmoveError as error:
        # The guest is on its destination and goes on; only the proof is lost, which `proof.settle` finds out.
        move.say(text=f"no export: {error.text}")


def scratch_files(move: Move, targets: Collection[str]) -> dict[str, str]:
    return {target: f"{move.scratch}/{target}.qcow2" for target in targets}


def wake(move: Move, domain: Domain) -> bool:
    """Resumes a guest that a dead svmove left suspended. One that a person paused stays paused."""
    began = _standing(move, domain)
    if began is None:
        return False
    move.world.hypervisor.resume(move.plan.uuid)
    move.note("woken", seconds=max(move.world.clock.now() - began, 0.0))
    thaw(move, insist=True)
    return True


def release(move: Move, domain: Domain) -> bool:
    """As `wake`; but a guest that stands still since before its pivot can still have its export, and be verified."""
    if _standing(move, domain) is None:
        return False
    try:
        if move.plan.verify is not Verify.NONE and not move.world.hypervisor.exports(move.plan.uuid, move.socket):
            _freeze(move)
    except HostError as error:
        move.say(text=f"no export: {error.text}")
    finally:
        wake(move, domain)
    return True


def _freeze(move: Move) -> None:
    seen = move.observe()

    def settled(_event: Event | None) -> bool:
        nonlocal seen
        seen = move.observe()
        return all(disk.settled for disk in seen.disks)

    if move.await_(_time_left(move), settled, tick=0.02):
        over = [disk.target for disk in seen.of(move.pending).disks if disk.where is Where.DESTINATION]
        if over:
            begin_export(move, over)


def _time_left(move: Move) -> float:
    """Of the pause that was promised."""
    began, promised = standing_since(move.record), move.max_pause
    stood = 0.0 if began is None else move.world.clock.now() - began
    return min(max(promised - stood, _FREEZE_WAIT), promised)


def _standing(move: Move, domain: Domain) -> float | None:
    """Since when (Unix time) the guest stands still by our doing."""
    return standing_since(move.record) if domain.state is DomainState.PAUSED else None


def standing_since(record: Record) -> float | None:
    """As far as the journal knows: when it was suspended, if it was not let go on since."""
    last = next((e for e in reversed(record.entries) if e.what in ("pivot", "paused", "woken")), None)
    return last.at if last is not None and last.what == "pivot" and last.data["suspends"] else None
