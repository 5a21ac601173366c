"""Sources that are kept for a time: proven at the end of the move to be needed no more, and looked at before they go.

What could have changed since: somebody has written to the file, or put another in its place; the guest is gone, and
what it ran on perhaps with it; some guest uses it again. Each of these keeps it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from svmove import location
from svmove.errors import HypervisorError, NotFoundError
from svmove.journal import Entry, Kind, Record
from svmove.move.context import Move
from svmove.move.observe import same
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.volumes import NVRAM, DiskPlan

FACT = "source-waits"


def keep(move: Move) -> None:
    """After all else is done with the files. What was found to be in doubt is told already, as `source-kept`."""
    if move.plan.keep_for is None:
        return
    until = move.world.clock.now() + move.plan.keep_for
    for disk in move.plan.disks:
        for key, path in disk.deletable.items():
            told = move.noted("deleted", key) or move.noted("source-kept", key) or move.noted(FACT, key)
            if told or disk.volume_of(key) is None:
                continue
            # Of an image on the network its name is all that is known: who writes to it leaves no trace here.
            stamp = None if location.is_network(path) else move.world.host.stamp(path)
            text = f"{path} is kept until {_day(until)}, then svmove gc may delete it"
            move.note(FACT, key, text=text, until=until, stamp=stamp)


def is_due(records: Iterable[Record], now: float) -> bool:
    """Whether any source has waited for its time."""
    return any(entry.data["until"] <= now for record in records for entry in record.all(Kind.FACT, FACT))


def objection(
    records: Sequence[Record], disk: DiskPlan, told: Entry, path: str, host: Host, hypervisor: Hypervisor, now: float
) -> str | None:
    """Why a source that waits may not go; None: nothing of this room's. `records`: of its move, and of all that moved
    the same guest later. Raises HostError, UnreachableError."""
    record = records[0]
    if now < told.data["until"]:
        return f"its time is not over: {_day(told.data['until'])}"
    if told.data["stamp"] is None:
        return "it can't be told whether somebody has written to it; remove it by hand when you are sure"
    if host.stamp(path) != told.data["stamp"]:
        return "somebody may have written to it since; remove it by hand when you are sure"
    try:
        domain = hypervisor.domain(record.plan.uuid)
    except NotFoundError:
        return f"the guest {record.plan.domain} is gone, and this may be all that is left of it"
    except HypervisorError as error:
        return f"it can't be seen what the guest uses: {error.text}"
    disks = [one.path for side in (domain.live, domain.inactive) for one in side if one.target == disk.target]
    found = [domain.live_nvram, domain.inactive_nvram] if disk.target == NVRAM else disks
    runs_on = {None if path is None else same(path, host) for path in found if path or disk.target != NVRAM}
    proven = {
        entry.data["identity"]
        for one in records
        if (entry := one.last(Kind.FACT, "created", disk.target)) is not None and entry.data.get("identity")
    }
    if not runs_on or not runs_on <= proven:
        return f"the guest's {disk.target} is not what svmove has brought it to: this may be all that is left of it"
    return None


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
