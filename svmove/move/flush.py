"""What a suspend would wait for, since it flushes all that QEMU has open: that is done before, while the guest runs."""

from collections.abc import Iterator

from svmove import location
from svmove.errors import CopyError
from svmove.model import Domain
from svmove.move.context import Move
from svmove.move.mirror import lost
from svmove.units import show_duration

# A process that opens a connection to ask: 0.1 to 0.3 s, and more on a busy host.
_CONNECTS = 2.0
_ASK_AGAIN = 0.25


def await_storage(move: Move, domain: Domain) -> None:
    """Until in one round nothing is in the way: what is flushed late in it leaves the others little time to fill up.

    Raises CopyError when that does not come in the policy's time, or the copy is gone."""
    clock = move.world.clock
    deadline = clock.monotonic() + move.world.policy.move.answer_wait
    while (error := _in_the_way(move, domain)) is not None:
        move.may_go_on()
        rest = move.glance().of(move.pending)
        if not (rest.all_copy or rest.off or move.may_be_over):
            raise lost(move, rest)
        if clock.monotonic() > deadline:
            raise error
        move.say(text=f"{error.text}: the cutover waits")
        clock.sleep(_ASK_AGAIN)
    move.answered()


def _in_the_way(move: Move, domain: Domain) -> CopyError | None:
    """A destination that hangs would hang the guest: one that hung for 6 s cost it 6 s. And a mirror that fails in that
    flush, because its server has died, leaves its filter above the guest's disk (QEMU 7.2, docs/internals.md): no copy
    of that disk can be begun any more.

    What the host's page cache holds for a disk that is opened through it is written by the suspend, however long that
    takes: for a source of 512 KiB/s, which the guest had written to for 15 s, 6.8 s. Once it was written in half the
    pause, the next flush has only what the guest has written since."""
    patience = move.max_pause / 2
    for path in _cached(domain):
        if not move.world.host.answers(path, patience):
            return CopyError(
                f"what the host's page cache holds for {path} was not written in {show_duration(patience)}",
                reason="pause-exceeded",
                remedy="allow a longer pause (--max-pause), move when the guest writes less, or give the disk "
                "cache='none' on its <driver>, which counts from the guest's next start",
            )
    for path in dict.fromkeys(disk.lands.path for disk in move.pending):
        if (trouble := _no_answer(move, path)) is not None:
            return CopyError(
                f"the storage of {path} does not answer{trouble}",
                reason="destination-hangs",
                remedy="mend that storage, or choose another pool",
            )
    return None


def _cached(domain: Domain) -> Iterator[str]:
    """Of all disks, also those that stay."""
    for disk in domain.live:
        held = disk.flushed and not (disk.direct or disk.read_only)
        if held and disk.path is not None and not location.is_network(disk.path):
            yield disk.path


def _no_answer(move: Move, path: str) -> str | None:
    """None: the storage answers. To a file an error is an answer, which QEMU gets as quickly; a server must answer."""
    host, patience = move.world.host, move.terms().max_pause / 4
    if not location.is_network(path):
        return None if host.answers(path, patience) else ""
    trouble = host.trouble(path, patience + _CONNECTS)
    return None if trouble is None else f" ({trouble})"
