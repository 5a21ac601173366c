"""Gathers what `svmove doctor` judges (`svmove.plan.health`).

Reads only: no pool is refreshed, since libvirt gives up one that fails. What can't be looked at is told as that, and
the rest goes on.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress

from svmove import location
from svmove.budgets import Budgets
from svmove.errors import HostError, HypervisorError, JournalError, SvmoveError
from svmove.health import HostFacts, LibvirtFacts, MoveFacts, PoolFacts, Setup, Trouble
from svmove.host.premises import COMMANDS
from svmove.journal import Journal
from svmove.model import CopyWay, Pool, Process
from svmove.move import held, leftovers, tasks
from svmove.move.tasks import TaskState
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.redact import redact

# A storage that works answers in milliseconds; a busy one on the network in a second or two.
_PATIENCE = 5.0
_KVM = "/dev/kvm"
_ROOT = (0, 0)


def trouble(error: SvmoveError) -> Trouble:
    return Trouble(text=error.text, remedy=error.remedy)


def libvirt(hypervisor: Hypervisor) -> LibvirtFacts:
    """Raises UnreachableError, HypervisorError."""
    return LibvirtFacts(
        uri=redact(hypervisor.uri),
        versions=hypervisor.versions(),
        setup=hypervisor.setup(),
        guests=len(hypervisor.domain_names()),
    )


def premises(host: Host, setup: Setup, scratch: str) -> HostFacts:
    """Of the machine that the hypervisor runs on."""
    uid, gid = setup.qemu_user or _ROOT
    try:
        there = held.nearest(host, scratch)
        return HostFacts(
            missing=host.missing(tuple(COMMANDS)),
            looks_into_qemu=host.can_see(Process(pid=0, uid=uid, gid=gid)),
            scratch=scratch,
            scratch_free=host.free(scratch),
            scratch_open=host.may_use(there, uid, gid, "x"),
            scratch_kind=host.filesystem_kind(there),
            kvm_node=host.identity(_KVM) is not None,
            kvm_open=host.may_use(_KVM, uid, gid, "rw"),
        )
    except HostError as error:
        return HostFacts(scratch=scratch, trouble=trouble(error))


def pools(
    hypervisor: Hypervisor, host: Host | None, setup: Setup, found: Sequence[Pool], asked: Collection[str]
) -> tuple[PoolFacts, ...]:
    """Of those that were asked for, or of all. Raises UnreachableError."""
    return tuple(_told(hypervisor, host, setup, pool) for pool in found if not asked or pool.name in asked)


def _told(hypervisor: Hypervisor, host: Host | None, setup: Setup, pool: Pool) -> PoolFacts:
    """Of one that can't be looked into all the same, with the reason."""
    try:
        return _pool(hypervisor, host, setup, pool)
    except (HostError, HypervisorError) as error:
        return PoolFacts(pool=pool, silent=error.text)


def _pool(hypervisor: Hypervisor, host: Host | None, setup: Setup, pool: Pool) -> PoolFacts:
    """Raises HostError, HypervisorError, UnreachableError."""
    secret = location.secret_of(pool.network) if pool.network else None
    secrets = {} if secret is None else {str(secret): hypervisor.secret_state(secret)}
    if host is None or not pool.active:
        return PoolFacts(pool=pool, secrets=secrets)
    first = _first_volume(hypervisor, pool)
    if pool.folder is None:
        return PoolFacts(pool=pool, secrets=secrets, silent=_silent(host, first))
    if not host.answers(pool.folder, _PATIENCE):  # and nothing else is asked of it, which would hang
        return PoolFacts(pool=pool, secrets=secrets, silent=f"no answer in {_PATIENCE:g} s")
    if host.filesystem(pool.folder) is None:
        return PoolFacts(pool=pool, secrets=secrets, there=False)
    user = setup.qemu_user
    return PoolFacts(
        pool=pool,
        secrets=secrets,
        kind=host.filesystem_kind(pool.folder),
        direct=host.takes_direct(pool.folder),
        reflink=_reflink(host, first, pool.folder),
        open=None if user is None else host.may_use(pool.folder, *user, "x"),
    )


def _first_volume(hypervisor: Hypervisor, pool: Pool) -> str | None:
    """Some volume of the pool, to ask its storage by."""
    with suppress(HypervisorError):
        names = sorted(hypervisor.volume_names(pool.name))
        if names and pool.location is not None:
            return location.child(pool.location, names[0])
    return None


def _silent(host: Host, volume: str | None) -> str | None:
    return None if volume is None else host.trouble(volume, _PATIENCE)


def _reflink(host: Host, volume: str | None, folder: str) -> bool | None:
    """None: there is no file to try it with."""
    if volume is not None:
        with suppress(HostError):
            return host.offload(volume, folder) is CopyWay.REFLINK
    return None


def moves(
    journal: Journal, hypervisor: Hypervisor, host: Host, scratch: str, now: float, budgets: Budgets
) -> MoveFacts:
    """Raises UnreachableError."""
    uri = journal.database.address(redact(hypervisor.uri))
    try:
        found = tasks.tasks(journal, hypervisor, uri, now, budgets, ended=False)
        left = leftovers.find(journal, hypervisor, host, scratch, uri, now)
    except (HypervisorError, HostError, JournalError) as error:
        return MoveFacts(trouble=trouble(error))

    def ids(state: TaskState) -> tuple[str, ...]:
        return tuple(task.move for task in found if task.state is state)

    return MoveFacts(
        left=ids(TaskState.LEFT),
        held=ids(TaskState.HELD),
        unknown=ids(TaskState.UNKNOWN),
        removable=sum(one.kept is None for one in left),
        kept=sum(one.kept is not None for one in left),
    )
