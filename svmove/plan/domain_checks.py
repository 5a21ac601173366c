"""Checks of the domain as a whole: may it be worked on, by us, now?"""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath

from svmove.model import Agent, DomainState
from svmove.moves import Finding, Level
from svmove.plan.case import Case, refuse
from svmove.requests import Method
from svmove.units import show_duration


def state(case: Case) -> Iterator[Finding]:
    domain = case.inventory.domain
    offline = case.method is Method.OFFLINE
    if domain.state is DomainState.OTHER:
        yield refuse("domain-state", f"domain {domain.name} is neither running nor paused", "wait until it is")
    elif domain.state is DomainState.OFF and not offline:
        yield refuse(
            "domain-off",
            f"domain {domain.name} is off, and the method {case.method} is for guests that run",
            "start it (virsh start), or leave --method out",
        )
    elif domain.state is not DomainState.OFF and offline:
        yield refuse(
            "domain-on",
            f"domain {domain.name} is {domain.state}, and the method offline is for guests that are off",
            "shut it down (virsh shutdown), or leave --method out: then it is moved as it runs",
        )
    if offline and domain.managed_save:
        yield refuse(
            "managed-save",
            f"domain {domain.name} has a saved state, which goes on from the files that it names itself",
            "start it, and move it as it runs; or throw the state away: virsh managedsave-remove",
        )


def paused(case: Case) -> Iterator[Finding]:
    if case.inventory.domain.io_error and case.choices:
        yield Finding(
            level=Level.NOTE,
            code="io-error",
            text=f"domain {case.inventory.domain.name} is paused since a write failed; it is moved, and stays paused",
            remedy=f"when it is done: virsh resume {case.inventory.domain.name}; the write is tried again, where it is "
            "then",
        )


def ownership(case: Case) -> Iterator[Finding]:
    domain = case.inventory.domain
    if domain.marker is not None:
        yield refuse(
            "move-running",
            f"move {domain.marker} owns domain {domain.name}",
            f"wait for it, or finish it: svmove resume {domain.marker}",
        )
    if domain.job:
        yield refuse(
            "domain-job",
            f"a {domain.job} runs on domain {domain.name}",
            "wait for it, or end it: virsh domjobabort",
        )


def permission(case: Case) -> Iterator[Finding]:
    if case.inventory.domain.live and not case.inventory.can_read_host:
        yield refuse(
            "no-permission",
            "this user may not look into the guest's QEMU process and its images",
            "run svmove as root (sudo)",
        )


def agent(case: Case) -> Iterator[Finding]:
    """What is asked of the guest itself needs somebody in there to ask."""
    asked = [option for option, wanted in (("--trim", case.request.trim), ("--freeze", case.request.freeze)) if wanted]
    found, name = case.inventory.agent, case.inventory.domain.name
    if not asked or found is Agent.ANSWERS:
        return
    if found is Agent.ABSENT:
        why = f"domain {name} has no channel for one"
        remedy = "add <channel> org.qemu.guest_agent.0 and install qemu-guest-agent in the guest"
    else:
        why = f"that of {name} does not answer"
        remedy = "start qemu-guest-agent in the guest, and virsh resume it if it is paused"
    options = " and ".join(asked)
    yield refuse("no-agent", f"{options}: the guest's agent is needed, and {why}", f"{remedy}; or leave {options} out")


def pause(case: Case) -> Iterator[Finding]:
    if case.request.freeze and case.max_pause < 1.0 + case.policy.move.pivot_reserve:
        yield refuse(
            "pause-too-short",
            f"with --freeze a pause of {show_duration(case.max_pause)} can't be promised: libvirt waits for the "
            "guest's agent in whole seconds",
            "allow 1500ms or more: --max-pause, or leave --freeze out",
        )
        return
    if case.max_pause <= case.policy.move.pivot_reserve:
        yield refuse(
            "pause-too-short",
            f"a pause of {show_duration(case.max_pause)} can't be promised: a pivot alone needs up to "
            f"{show_duration(case.policy.move.pivot_reserve)}",
            "allow more than that: --max-pause 500ms",
        )


def deadline(case: Case) -> Iterator[Finding]:
    if case.deadline is not None and case.copy_seconds > case.deadline:
        yield Finding(
            level=Level.WARN,
            code="deadline-short",
            text=f"copying alone takes about {show_duration(case.copy_seconds)}, "
            f"and the cutover must be reached in {show_duration(case.deadline)}",
            remedy="allow more: --deadline",
        )


def cutover(case: Case) -> Iterator[Finding]:
    """When the guest may be switched: by windows, and --at."""
    at, now = case.request.at, case.now
    if not (case.choices or case.nvram.plans):
        return
    opens = case.windows.opens(now, at)
    end = None if case.deadline is None else now + case.deadline
    if opens is not None and end is not None and opens.at > end:
        yield refuse(
            "window-after-deadline",
            f"the cutover is not allowed before {opens.show(now)}, and must be reached in {show_duration(end - now)}",
            f"allow more: --deadline {math.ceil((opens.at - now + case.copy_seconds) / 3600)}h; or choose another time "
            "(--at, windows.cutover)",
        )
        return
    ready = now + case.copy_seconds
    late = case.windows.opens(ready, at)
    if late is not None and end is not None and late.at > end:
        yield Finding(
            level=Level.WARN,
            code="window-after-deadline",
            text=f"once it is copied the cutover is not allowed before {late.show(now)}, and must be reached in "
            f"{show_duration(end - now)}",
            remedy="allow more: --deadline",
        )
    elif late is not None:
        yield Finding(
            level=Level.NOTE,
            code="cutover-waits",
            text=f"it is copied now, and switched from {late.show(now)} on; until then the copy follows the guest",
            remedy="at once when it is ready: svmove set MOVE --cutover now",
        )


def home(case: Case) -> Iterator[Finding]:
    """What belongs to the guest beside its disks and stays where it is, is named, so that nobody forgets it when the
    old storage is switched off."""
    domain = case.inventory.domain
    if not (case.choices or case.nvram.plans):
        return
    if domain.nvram is not None and case.nvram.stays is not None:
        yield Finding(
            level=Level.NOTE,
            code="nvram",
            text=f"the UEFI variables stay at {domain.nvram}{_pool_of(case, domain.nvram)}: {case.nvram.stays}",
            remedy=case.nvram.remedy,
        )
    if domain.tpm is not None:
        yield Finding(
            level=Level.NOTE,
            code="tpm",
            text=f"the state of the emulated TPM stays at {domain.tpm}" + _pool_of(case, domain.tpm),
            remedy="without it the guest can't open what it has sealed: keep it with the host, and in its backup",
        )


def _pool_of(case: Case, path: str) -> str:
    for pool in case.inventory.pools:
        if pool.path is not None and PurePosixPath(path).is_relative_to(pool.path):
            return f", in pool {pool.name}"
    return ""
