"""The task pane: every move that there is, as the journal, its locks, libvirt and the domains' markers tell."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from svmove.budgets import Budgets, Priority, Waits
from svmove.errors import SvmoveError
from svmove.journal import Figures, Journal, Notice, Summary
from svmove.model import Domain
from svmove.move import lost
from svmove.move.phases import BEFORE_CUTOVER, ENDED, Phase
from svmove.ports import Hypervisor
from svmove.windows import Moment


class TaskState(StrEnum):
    RUNNING = "running"  # a process works on it
    LEFT = "left"  # none does: svmove resume
    HELD = "held"  # a person decides
    ENDED = "ended"
    UNKNOWN = "unknown"  # a domain's marker names it, and this journal doesn't


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    move: str
    domain: str
    uri: str
    disks: tuple[str, ...]  # targets
    phase: str
    state: TaskState
    figures: Figures | None  # of all disks together, in the phases that have any
    age: float  # seconds since it began
    process: int | None = None
    host: str | None = None  # that the process is on
    priority: Priority = Priority.NORMAL
    waits: Waits | None = None  # for a slot
    here: bool = True  # on the libvirt that was asked; a shared journal knows other hosts' moves too
    cutover: Moment | None = None  # when the switch will be allowed; None: it is, or is over


def tasks(
    journal: Journal, hypervisor: Hypervisor | None, uri: str, now: float, budgets: Budgets, *, ended: bool
) -> tuple[Task, ...]:
    """Oldest first. Without a hypervisor (libvirt is gone) only what the journal tells.

    Raises JournalError.
    """
    notices = journal.notices()
    known = journal.moves(ended=ended)
    waiting = journal.slots.waiting(budgets)
    found = []
    for summary in known:
        task = _of_summary(journal, summary, notices.get(summary.move), hypervisor, uri, now)
        found.append(replace(task, waits=waiting.get(summary.move)))
    if hypervisor is not None:
        ids = {summary.move for summary in journal.moves(ended=True)}
        found += [_of_marker(domain, uri) for domain in _marked(hypervisor) if domain.marker not in ids]
    return tuple(found)


def _of_summary(
    journal: Journal, summary: Summary, notice: Notice | None, hypervisor: Hypervisor | None, uri: str, now: float
) -> Task:
    worker = None if summary.ended else journal.owner(summary.move)
    phase = Phase(summary.phase)
    if phase in ENDED:
        state = TaskState.ENDED
    elif worker is not None:
        state = TaskState.RUNNING
    else:
        state = TaskState.HELD if phase is Phase.HELD else TaskState.LEFT
    plan = journal.read(summary.move).plan
    disks = tuple(disk.target for disk in (*plan.disks, *plan.media))
    waits = state in (TaskState.LEFT, TaskState.RUNNING) and phase in BEFORE_CUTOVER
    figures = None
    if state is TaskState.LEFT and phase in (Phase.COPYING, Phase.READY) and summary.uri == uri and hypervisor:
        figures = _of_jobs(hypervisor, summary.uuid, disks)  # QEMU goes on without svmove
    elif state is TaskState.RUNNING and notice is not None and notice.phase == phase:
        figures = _sum(notice)
    return Task(
        move=summary.move,
        domain=summary.domain,
        uri=summary.uri,
        disks=disks,
        phase=summary.phase,
        state=state,
        figures=figures,
        age=max(now - summary.created, 0.0),
        process=worker.pid if worker else None,
        host=worker.host if worker else None,
        priority=plan.priority,
        here=summary.uri == uri,
        cutover=plan.terms(journal.requests.changes(summary.move), now).cutover if waits else None,
    )


def _of_marker(domain: Domain, uri: str) -> Task:
    return Task(
        move=domain.marker or "",
        domain=domain.name,
        uri=uri,
        disks=tuple(disk.target for disk in domain.marked),
        phase="",
        state=TaskState.UNKNOWN,
        figures=None,
        age=0.0,
    )


def _marked(hypervisor: Hypervisor) -> Iterator[Domain]:
    try:
        yield from lost.find(hypervisor)
    except SvmoveError:  # the pane must be seen also when libvirt has just gone
        return


def _of_jobs(hypervisor: Hypervisor, uuid: str, disks: tuple[str, ...]) -> Figures | None:
    done = end = 0
    for target in disks:
        try:
            job = hypervisor.job(uuid, target)
        except SvmoveError:
            return None
        if job is not None and job.remaining is not None:
            done, end = done + job.done, end + job.end
    return Figures(done=done, end=end) if end else None


def _sum(notice: Notice) -> Figures:
    disks = notice.disks.values()
    rates = [disk.rate for disk in disks if disk.rate is not None]
    known = [disk.converges for disk in disks if disk.converges is not None]
    return Figures(
        done=sum(disk.done for disk in disks),
        end=sum(disk.end for disk in disks),
        rate=sum(rates) if rates else None,
        seconds=max((disk.seconds for disk in disks if disk.seconds is not None), default=None),
        converges=None if not known else all(known),
    )
