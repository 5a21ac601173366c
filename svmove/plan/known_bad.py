"""Versions of QEMU and libvirt with faults in the path that a live copy takes.

Read from changelogs and patches. Distributions backport fixes without a change of the version that libvirt tells,
so a match is a warning, not a verdict; `method` avoids what would silently corrupt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from svmove.model import Versions
from svmove.moves import Finding, Level
from svmove.plan.case import Case
from svmove.plan.choice import Choice
from svmove.requests import Method
from svmove.units import KiB

_LIVE = frozenset({Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT})  # each runs a mirror job
_SYNCHRONOUS = frozenset({Method.SYNCHRONOUS})
# QEMU's default for the dirty bitmap: the target's cluster size, at most this.
_LARGEST_GRANULARITY = 64 * KiB


class Component(StrEnum):
    QEMU = "QEMU"
    LIBVIRT = "libvirt"


class Harm(StrEnum):
    CORRUPTS = "corrupts"  # silently: `auto` avoids the method
    CRASHES = "crashes"
    HANGS = "hangs"
    FAILS = "fails"


def version(text: str) -> int:
    """As libvirt counts: "9.0" is 9_000_000, "10.0.9" is 10_000_009."""
    major, minor, micro = [*map(int, text.split(".")), 0, 0][:3]
    return major * 1_000_000 + minor * 1000 + micro


def _whatever(_case: Case, _choice: Choice) -> bool:
    return True


def _zeroes_meet_writes(case: Case, choice: Choice) -> bool:
    """Zeroes and data are written to one cluster of a qcow2 at a time: by a guest of which each write goes to both
    copies, or when a bit of the dirty bitmap stands for less than a cluster."""
    spec = choice.destination
    if spec is None or spec.format != "qcow2":
        return False
    cluster = spec.cluster_bytes or 64 * KiB
    chosen = case.policy.mirror.granularity or case.granularities.get(choice.disk.target)
    granularity = chosen or min(cluster, _LARGEST_GRANULARITY)
    return case.method is Method.SYNCHRONOUS or granularity < cluster


def _detects_zeroes(_case: Case, choice: Choice) -> bool:
    return choice.disk.detect_zeroes == "unmap"


def _detects_zeroes_in_qcow2(case: Case, choice: Choice) -> bool:
    formats = {choice.disk.format, choice.destination.format if choice.destination else ""}
    return _detects_zeroes(case, choice) and "qcow2" in formats


def _ide(_case: Case, choice: Choice) -> bool:
    return choice.disk.bus in ("ide", "sata")


def _iothread(_case: Case, choice: Choice) -> bool:
    return choice.disk.iothread


def _throttled_in_iothreads(case: Case, choice: Choice) -> bool:
    threads = sum(disk.iothread for disk in case.inventory.domain.disks)
    return choice.disk.iothread and choice.disk.throttled and threads > 1


def _encrypted(_case: Case, choice: Choice) -> bool:
    return choice.destination is not None and choice.destination.luks is not None


def _replaces(case: Case, _choice: Choice) -> bool:
    return case.inventory.versions.libvirt >= version("11.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    component: Component
    # Of affected versions: the first, and the first after them that is not.
    ranges: tuple[tuple[str, str], ...]
    harm: Harm
    text: str
    fixed: str
    methods: frozenset[Method] = _LIVE
    applies: Callable[[Case, Choice], bool] = _whatever

    def in_version(self, versions: Versions) -> bool:
        """Versions that are not known (0) are affected by nothing."""
        found = versions.qemu if self.component is Component.QEMU else versions.libvirt
        return found > 0 and any(version(first) <= found < version(end) for first, end in self.ranges)


_START = "0.0.1"  # whatever came before

FAULTS: tuple[Fault, ...] = (
    Fault(
        component=Component.QEMU,
        ranges=(("8.2", "10.0.9"), ("10.1", "10.2.2")),
        harm=Harm.CORRUPTS,
        text="what the guest writes while a mirror starts may be missed",
        fixed="10.0.9, 11.0",
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.0", "8.2"),),
        harm=Harm.CORRUPTS,
        text="what the guest writes while a mirror with synchronous writes starts may be missed",
        fixed="10.0.9, 11.0",
        methods=_SYNCHRONOUS,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("10.1", "10.2.2"),),
        harm=Harm.CRASHES,
        text="QEMU aborts when the guest zeroes less than the mirror's granularity, with synchronous writes",
        fixed="after 10.2.1",
        methods=_SYNCHRONOUS,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.10"),),
        harm=Harm.CRASHES,
        text="a second request to complete a mirror trips an assertion, as libvirt 11.3 and later starts them",
        fixed="10.0.10",
        applies=_replaces,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.2", "8.2.3"),),
        harm=Harm.HANGS,
        text="a mirror that is paused can deadlock",
        fixed="after 8.2.2",
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.11"), ("11.0", "11.0.1")),
        harm=Harm.CORRUPTS,
        text="qcow2 can be corrupted when zeroes and data are written to one cluster at a time, as here",
        fixed="10.0.11",
        applies=_zeroes_meet_writes,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.11"),),
        harm=Harm.CORRUPTS,
        text="with detect_zeroes='unmap', zeroes that are written to a qcow2 can destroy data beside them",
        fixed="10.0.11",
        applies=_detects_zeroes_in_qcow2,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("7.2", "7.2.1"),),
        harm=Harm.FAILS,
        text="with detect_zeroes='unmap', writes of zeroes fail with EINVAL",
        fixed="7.2.1",
        applies=_detects_zeroes,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("7.2", "10.0.10"),),
        harm=Harm.HANGS,
        text="a TRIM of the guest on IDE or SATA can deadlock with a pivot",
        fixed="10.0.10",
        applies=_ide,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.1", "8.2"),),
        harm=Harm.HANGS,
        text="the I/O of a disk with an iothread can be stuck after a pivot",
        fixed="8.1.5, 8.2.1",
        applies=_iothread,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.7"),),
        harm=Harm.CRASHES,
        text="the I/O of a disk with an iothread that waited for a pivot can crash QEMU when it goes on",
        fixed="10.0.7",
        applies=_iothread,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.9"),),
        harm=Harm.HANGS,
        text="I/O limits of disks in several iothreads can deadlock",
        fixed="10.0.9",
        applies=_throttled_in_iothreads,
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=((_START, "7.3"),),
        harm=Harm.CORRUPTS,
        text="a mirror that is ready can be told as pivoted when it was cancelled, and the other way round",
        fixed="7.3",
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=(("7.9", "7.10"),),
        harm=Harm.FAILS,
        text="a copy to an encrypted volume ends with an error that means nothing",
        fixed="7.10",
        applies=_encrypted,
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=(("6.5", "6.6"),),
        harm=Harm.FAILS,
        text="a copy to a volume that exists fails",
        fixed="6.6",
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=((_START, "5.1"),),
        harm=Harm.FAILS,
        text="a copy at 100 % is not ready, and its pivot fails",
        fixed="5.1",
    ),
    # Not here: libvirt 9.0.0 leaks the data of jobs that make an image. svmove has its pools make them.
)


def corrupting(versions: Versions, method: Method) -> Fault | None:
    """The fault for which `auto` avoids a method whatever the disks are."""
    return next(
        (
            fault
            for fault in FAULTS
            if fault.harm is Harm.CORRUPTS
            and fault.applies is _whatever
            and method in fault.methods
            and fault.in_version(versions)
        ),
        None,
    )


def matching(case: Case) -> Iterator[Finding]:
    """Each fault once, with the disks that it concerns."""
    versions = case.inventory.versions
    for fault in FAULTS:
        if case.method not in fault.methods or not fault.in_version(versions):
            continue
        concerned = [choice.disk.target for choice in case.choices if fault.applies(case, choice)]
        if not concerned:
            continue
        found = versions.qemu if fault.component is Component.QEMU else versions.libvirt
        yield Finding(
            level=Level.WARN,
            code="known-bad",
            text=f"{fault.component} {show(found)}, {', '.join(concerned)}: {fault.text} (fixed in {fault.fixed})",
            remedy=_remedy(fault),
            target=concerned[0] if len(concerned) == 1 else None,
        )


def show(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _remedy(fault: Fault) -> str:
    first = f"upgrade {fault.component}, unless your distribution has backported the fix"
    return first + ("; leave the verification on, which finds it" if fault.harm is Harm.CORRUPTS else "")
