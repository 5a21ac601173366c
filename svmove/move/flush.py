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
    """Raises CopyError when something would hold the guest for longer than it was promised, or the copy is gone."""
    _await_page_cache(move, domain)
    _await_answer(move)


def _await_page_cache(move: Move, domain: Domain) -> None:
    """What the host's page cache holds for a disk that is opened through it is written by the suspend, however long
    that takes: 3.4 MB for a storage that takes 512 KiB/s were 6.8 s of a standing guest.

    Once it was written in half the pause, the next flush has only what the guest has written since."""
    clock, patience = move.world.clock, move.max_pause / 2
    deadline = clock.monotonic() + move.world.policy.move.answer_wait
    for path in _cached(domain):
        while not move.world.host.answers(path, patience):
            text = f"what the host's page cache holds for {path} was not written in {show_duration(patience)}"
            if clock.monotonic() > deadline:
                raise CopyError(
                    f"{text}: the guest would stand still for as long as that takes",
                    reason="pause-exceeded",
                    remedy="allow a longer pause (--max-pause), move when the guest writes less, or give the disk "
                    "cache='none' on its <driver>, which counts from the guest's next start",
                )
            _go_on(move, f"{text}: the cutover waits")


def _cached(domain: Domain) -> Iterator[str]:
    """Of all disks, also those that stay."""
    for disk in domain.live:
        held = disk.flushed and not (disk.direct or disk.read_only)
        if held and disk.path is not None and not location.is_network(disk.path):
            yield disk.path


def _await_answer(move: Move) -> None:
    """A destination that hangs would hang the guest: one that hung for 6 s cost it 6 s. And a mirror that fails in that
    flush, because its server has died, leaves its filter above the guest's disk (QEMU 7.2, docs/internals.md): no copy
    of that disk can be begun any more."""
    clock = move.world.clock
    deadline = clock.monotonic() + move.world.policy.move.answer_wait
    for path in dict.fromkeys(disk.lands.path for disk in move.pending):
        while (trouble := _no_answer(move, path)) is not None:
            if clock.monotonic() > deadline:
                raise CopyError(
                    f"the storage of {path} does not answer{trouble}",
                    reason="destination-hangs",
                    remedy="mend that storage, or choose another pool",
                )
            _go_on(move, f"the storage of {path} does not answer{trouble}: the cutover waits")
    move.answered()


def _go_on(move: Move, text: str) -> None:
    move.may_go_on()
    rest = move.glance().of(move.pending)
    if not (rest.all_copy or rest.off or move.may_be_over):
        raise lost(move, rest)
    move.say(text=text)
    move.world.clock.sleep(_ASK_AGAIN)


def _no_answer(move: Move, path: str) -> str | None:
    """None: the storage answers. To a file an error is an answer, which QEMU gets as quickly; a server must answer."""
    host, patience = move.world.host, move.terms().max_pause / 4
    if not location.is_network(path):
        return None if host.answers(path, patience) else ""
    trouble = host.trouble(path, patience + _CONNECTS)
    return None if trouble is None else f" ({trouble})"
