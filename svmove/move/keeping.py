"""Sources that are kept for a time: proven at the end of the move to be needed no more, and looked at before they go.

What could have changed since: somebody has written to the file, or put another in its place; the guest is gone, and
what it ran on perhaps with it; some guest uses it again. Each of these keeps it.
"""

from datetime import UTC, datetime

from svmove.errors import HypervisorError, NotFoundError
from svmove.journal import Entry, Record
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
            text = f"{path} is kept until {_day(until)}, then svmove gc may delete it"
            move.note(FACT, key, text=text, until=until, stamp=move.world.host.stamp(path))


def objection(
    record: Record, disk: DiskPlan, told: Entry, path: str, host: Host, hypervisor: Hypervisor, now: float
) -> str | None:
    """Why a source that waits may not go; None: nothing of this room's. Raises HostError, UnreachableError."""
    if now < told.data["until"]:
        return f"its time is not over: {_day(told.data['until'])}"
    if told.data["stamp"] is None or host.stamp(path) != told.data["stamp"]:
        return "somebody has written to it since; remove it by hand when you are sure"
    try:
        domain = hypervisor.domain(record.plan.uuid)
    except NotFoundError:
        return f"the guest {record.plan.domain} is gone, and this may be all that is left of it"
    except HypervisorError as error:
        return f"it can't be seen what the guest uses: {error.text}"
    disks = [one.path for side in (domain.live, domain.inactive) for one in side if one.target == disk.target]
    found = [domain.live_nvram, domain.inactive_nvram] if disk.target == NVRAM else disks
    if not any(found) or not all(path is None or same(path, host) is not None for path in found):
        return f"the guest has no {disk.target} any more, or its file is gone: this may be all that is left of it"
    return None


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
