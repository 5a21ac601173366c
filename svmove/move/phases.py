"""The phases of a move, what each means, and which may follow which."""

from enum import StrEnum


class Phase(StrEnum):
    PLANNED = "planned"  # the plan is in the journal; nothing was touched
    ADMITTED = "admitted"  # the domain carries our marker, and is still as the plan saw it
    PREPARED = "prepared"  # the destination volumes exist, and are ours
    COPYING = "copying"  # a mirror runs on each disk
    READY = "ready"  # all mirrors are ready: the barrier; or what they lack fits in the pause
    CUTOVER = "cutover"  # from here on a disk may be on its destination
    VERIFYING = "verifying"  # all disks proven on their destinations; source against destination
    COMMITTED = "committed"  # verified, or not wanted: the sources may go
    DONE = "done"
    ROLLING_BACK = "rolling-back"  # the guest is proven on its sources; what we made is removed
    ROLLED_BACK = "rolled-back"
    HANDED_OVER = "handed-over"  # another move carries the disks back; this one has ended
    HELD = "held"  # neither forward nor back without a person: both copies are kept


NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.PLANNED: frozenset({Phase.ADMITTED, Phase.ROLLING_BACK}),
    # DONE: of a move that has no disks, but only media in drives, of which no source is deleted.
    Phase.ADMITTED: frozenset({Phase.PREPARED, Phase.ROLLING_BACK, Phase.DONE}),
    # HELD: what fails in a second round, when other disks are on their destinations already.
    Phase.PREPARED: frozenset({Phase.COPYING, Phase.ROLLING_BACK, Phase.HELD}),
    # PREPARED: a mirror that would never be ready is begun again, with synchronous writes.
    Phase.COPYING: frozenset({Phase.READY, Phase.PREPARED, Phase.ROLLING_BACK, Phase.HELD}),
    Phase.READY: frozenset({Phase.CUTOVER, Phase.ROLLING_BACK, Phase.HELD}),
    # PREPARED: some disks went over, some did not; each is good where it is, and the rest is tried again. Or what was
    # left of mirrors that are not ready did not fit in the pause: the guest goes on, and so do they.
    Phase.CUTOVER: frozenset({Phase.VERIFYING, Phase.COMMITTED, Phase.PREPARED, Phase.ROLLING_BACK, Phase.HELD}),
    Phase.VERIFYING: frozenset({Phase.COMMITTED, Phase.PREPARED, Phase.HELD}),
    # HELD: the guest is on its destination, and an overlay there could not be merged.
    Phase.COMMITTED: frozenset({Phase.DONE, Phase.HELD}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.HELD}),
    Phase.DONE: frozenset(),
    Phase.ROLLED_BACK: frozenset(),
    Phase.HANDED_OVER: frozenset(),
    # By a person's word alone.
    Phase.HELD: frozenset({Phase.COMMITTED, Phase.PREPARED, Phase.ROLLING_BACK, Phase.HANDED_OVER}),
}
# Nothing more is to be done, by anybody.
ENDED = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.HANDED_OVER})
# The loop stops here.
RESTING = ENDED | {Phase.HELD}
# What fails in one of these has not hurt the guest, and is undone.
BEFORE_CUTOVER = frozenset({Phase.PLANNED, Phase.ADMITTED, Phase.PREPARED, Phase.COPYING, Phase.READY})
