"""The library's front door to a look at everything that a move will need, without a guest.

facts = examine("qemu:///system", journal_url, load_policy=Policy)
lines = judge(facts)
"""

import zoneinfo
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace

from svmove.clock import SystemClock
from svmove.errors import HostError, HypervisorError, JournalError, UnreachableError, UsageError
from svmove.health import Facts, HostFacts, JournalFacts, LibvirtFacts, Trouble
from svmove.host.local import LocalHost
from svmove.journal import Journal
from svmove.move import examine as look
from svmove.plan.health import judge
from svmove.policy import Policy
from svmove.ports import Clock
from svmove.ports_host import Host
from svmove.reach import Reached, reach
from svmove.redact import redact

__all__ = ["examine", "judge"]


def examine(
    uri: str,
    journal_url: str,
    *,
    load_policy: Callable[[], Policy],
    policy_files: Collection[str] = (),
    asked: Collection[str] = (),
    clock: Clock | None = None,
) -> Facts:
    """Never raises for what it finds: that is among the facts. `asked`: only these pools."""
    now = (clock or SystemClock()).now()
    policy, policy_trouble = Policy(), None
    try:
        policy = load_policy()
    except UsageError as error:
        policy_trouble = look.trouble(error)
    journal, recorded = _journal(journal_url)
    facts = Facts(
        now=now,
        libvirt=LibvirtFacts(uri=redact(uri)),
        policy=policy,
        policy_files=tuple(policy_files),
        policy_trouble=policy_trouble,
        zones="Europe/Berlin" in zoneinfo.available_timezones(),
        journal=recorded,
        asked=frozenset(asked),
    )
    try:
        reached = reach(uri, policy)
        try:
            return _with_libvirt(facts, reached, journal)
        finally:
            reached.hypervisor.close()
    except (UnreachableError, HypervisorError, UsageError) as error:
        return replace(facts, libvirt=LibvirtFacts(uri=redact(uri), unreachable=look.trouble(error)))


def _with_libvirt(facts: Facts, reached: Reached, journal: Journal | None) -> Facts:
    """Raises UnreachableError, HypervisorError."""
    hypervisor = reached.hypervisor
    libvirt, found = look.libvirt(hypervisor), hypervisor.pools()
    host, elsewhere = _host(reached)
    scratch = reached.scratch or (str(journal.folder / "scratch") if journal else "")
    moves = None
    if host is not None and journal is not None:
        moves = look.moves(journal, hypervisor, host, scratch, facts.now, facts.policy.budgets)
    return replace(
        facts,
        libvirt=libvirt,
        host=HostFacts(trouble=elsewhere) if host is None else look.premises(host, libvirt.setup, scratch),
        pools=look.pools(hypervisor, host, libvirt.setup, found, facts.asked),
        pool_names=frozenset(pool.name for pool in found),
        moves=moves,
    )


def _host(reached: Reached) -> tuple[Host | None, Trouble | None]:
    try:
        reached.host.missing(())
    except UnreachableError as error:  # libvirt is there, and nothing else can be begun there
        return None, look.trouble(error)
    return reached.host, None


def _journal(url: str) -> tuple[Journal | None, JournalFacts]:
    """Opened as a move would, and asked for the right to write."""
    try:
        journal = Journal(url)
        with journal.database.exclusive():
            pass
        moves = journal.moves(ended=True)
    except JournalError as error:
        return None, JournalFacts(name=redact(url), trouble=look.trouble(error))
    newest = moves[-1].created if moves else None
    if journal.database.url.drivername != "sqlite":
        return journal, JournalFacts(name=journal.database.name, on_server=True, newest=newest)
    here, folder, free = LocalHost(), str(journal.folder), None  # of this machine, wherever libvirt is
    with suppress(HostError):
        free = here.free(folder)
    kind = here.filesystem_kind(folder)
    return journal, JournalFacts(name=journal.database.name, kind=kind, free=free, newest=newest)
