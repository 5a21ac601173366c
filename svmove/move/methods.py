"""The methods of a move: what each does in each phase. The same few verbs, and one loop for all (`runner`)."""

from collections.abc import Callable, Mapping

from svmove.move import cleanup, cutover, gate, media, mirror, offline, prepare, snapshot, verify
from svmove.move.context import Move
from svmove.move.phases import Phase
from svmove.moves import Plan
from svmove.requests import Method

Step = Callable[[Move], Phase]

_MIRROR: Mapping[Phase, Step] = {
    Phase.PLANNED: prepare.admit,
    Phase.ADMITTED: prepare.prepare,
    Phase.PREPARED: mirror.start,
    Phase.COPYING: mirror.copy,
    Phase.READY: gate.ready,
    Phase.CUTOVER: cutover.cut_over,
    Phase.VERIFYING: verify.verify,
    Phase.COMMITTED: media.commit,
    Phase.ROLLING_BACK: cleanup.roll_back,
}

# Also where a chain lies below a disk, which nobody writes to either.
_SNAPSHOT: Mapping[Phase, Step] = {**_MIRROR, Phase.PREPARED: snapshot.freeze, Phase.COPYING: snapshot.copy}

_OFFLINE: Mapping[Phase, Step] = {
    Phase.PLANNED: offline.admit,
    Phase.ADMITTED: prepare.prepare,
    Phase.PREPARED: offline.start,
    Phase.COPYING: offline.copy,
    Phase.READY: offline.ready,
    Phase.CUTOVER: offline.switch,
    Phase.COMMITTED: offline.commit,
    Phase.ROLLING_BACK: cleanup.roll_back,
}

# Nothing but media: no block job, no cutover.
_MEDIA: Mapping[Phase, Step] = {
    Phase.PLANNED: media.admit,
    Phase.ADMITTED: media.move_alone,
    Phase.ROLLING_BACK: media.let_go,
}

STEPS: Mapping[Method, Mapping[Phase, Step]] = {
    Method.MIRROR: _MIRROR,
    Method.SYNCHRONOUS: _MIRROR,
    Method.SNAPSHOT: _SNAPSHOT,
    Method.OFFLINE: _OFFLINE,
}


def steps(plan: Plan) -> Mapping[Phase, Step]:
    if not plan.disks:
        return _MEDIA
    found = STEPS[plan.method]
    return _SNAPSHOT if found is _MIRROR and any(disk.frozen for disk in plan.disks) else found
