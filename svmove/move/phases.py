"""The phases of a move, what each means, and which may follow which."""

from enum import StrEnum


class Phase(StrEnum):
    PLANNED = "planned"  # the plan is in the journal; nothing was touched
    ADMITTED = "admitted"  # the domain carries our marker, and is still as the plan saw it
    PREPARED = "prepared"  # the destination volumes exist, and are ours
    COPYING = "copying"  # a mirror runs on each disk
    READY = "ready"  # all mirrors are ready: the barrier
    CUTOVER = "cutover"  # from here on a disk may be on its destination
    VERIFYING = "verifying"  # all disks proven on their destinations; source against destination
    COMMITTED = "committed"  # verified, or not wanted: the sources may go
    DONE = "done"
    ROLLING_BACK = "rolling-back"  # the guest is proven on its sources; what we made is removed
    ROLLED_BACK = "rolled-back"
    HELD = "held"  # neither forward nor back without a person: both copies are kept


NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.PLANNED: frozenset({Phase.ADMITTED, Phase.ROLLING_BACK}),
    Phase.ADMITTED: frozenset({Phase.PREPARED, Phase.ROLLING_BACK}),
    Phase.PREPARED: frozenset({Phase.COPYING, Phase.ROLLING_BACK}),
    Phase.COPYING: frozenset({Phase.READY, Phase.ROLLING_BACK}),
    Phase.READY: frozenset({Phase.CUTOVER, Phase.ROLLING_BACK}),
    Phase.CUTOVER: frozenset({Phase.VERIFYING, Phase.COMMITTED, Phase.ROLLING_BACK, Phase.HELD}),
    Phase.VERIFYING: frozenset({Phase.COMMITTED, Phase.HELD}),
    Phase.COMMITTED: frozenset({Phase.DONE}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.HELD}),
    Phase.DONE: frozenset(),
    Phase.ROLLED_BACK: frozenset(),
    Phase.HELD: frozenset({Phase.COMMITTED, Phase.ROLLING_BACK}),  # by a person's word alone
}
# Nothing more is to be done, by anybody.
ENDED = frozenset({Phase.DONE, Phase.ROLLED_BACK})
# The loop stops here.
RESTING = ENDED | {Phase.HELD}
# What fails in one of these has not hurt the guest, and is undone.
BEFORE_CUTOVER = frozenset({Phase.PLANNED, Phase.ADMITTED, Phase.PREPARED, Phase.COPYING, Phase.READY})
