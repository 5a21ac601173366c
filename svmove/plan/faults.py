"""What a row of the table of faults is (`known_bad`), and whom it concerns.

A row is data: it says which versions, on which disks, by which methods, and where one can read about it. Distributions
backport fixes without a change of the version that libvirt tells, so a match is no verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from svmove.model import Versions
from svmove.moves import Level
from svmove.plan.case import Case
from svmove.plan.choice import Choice
from svmove.requests import Method
from svmove.units import KiB
from svmove.volumes import QCOW2_CLUSTER

LIVE = frozenset({Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT})  # each runs a mirror job
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


class Concerns(StrEnum):
    """Which disks a fault is about, in words."""

    EVERY = "every disk"
    ZEROES_MEET_WRITES = "qcow2 copies whose clusters are larger than the mirror's granularity, or synchronous ones"
    ZEROES_FOUND = "disks with detect_zeroes='unmap'"
    ZEROES_FOUND_IN_QCOW2 = "qcow2 with detect_zeroes='unmap'"
    IDE = "disks on IDE or SATA"
    IOTHREAD = "disks with an iothread"
    THROTTLED_IN_IOTHREADS = "disks with I/O limits, in several iothreads"
    ENCRYPTED = "copies in LUKS"


def version(text: str) -> int:
    """As libvirt counts: "9.0" is 9_000_000, "10.0.9" is 10_000_009."""
    major, minor, micro = [*map(int, text.split(".")), 0, 0][:3]
    return major * 1_000_000 + minor * 1000 + micro


def show(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


# What svmove is made for and tested with: before that nobody has looked.
FLOOR: Mapping[Component, int] = {Component.LIBVIRT: version("9.0"), Component.QEMU: version("7.2")}


def of(component: Component, versions: Versions) -> int:
    """0: not known."""
    return versions.qemu if component is Component.QEMU else versions.libvirt


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    component: Component
    # Of affected versions: the first, and the first after them that is not.
    ranges: tuple[tuple[str, str], ...]
    harm: Harm
    # REFUSE: only where nothing would tell, that is, a copy that is not compared while its source is deleted.
    severity: Level = Level.WARN
    text: str
    fixed: str
    source: str  # where it can be read about: an issue, a commit, the news of a release
    concerns: Concerns = Concerns.EVERY
    methods: frozenset[Method] = LIVE  # none: svmove itself does nothing that meets it
    with_libvirt: str | None = None  # the first libvirt that asks QEMU for what is faulty

    def in_version(self, versions: Versions) -> bool:
        """Versions that are not known (0) are affected by nothing."""
        found = of(self.component, versions)
        if self.with_libvirt is not None and versions.libvirt < version(self.with_libvirt):
            return False
        return found > 0 and any(version(first) <= found < version(end) for first, end in self.ranges)

    def applies(self, case: Case, choice: Choice) -> bool:
        return _WHETHER[self.concerns](case, choice)


def _zeroes_meet_writes(case: Case, choice: Choice) -> bool:
    """Zeroes and data are written to one cluster of a qcow2 at a time: by a guest of which each write goes to both
    copies, or when a bit of the dirty bitmap stands for less than a cluster."""
    spec = choice.destination
    if spec is None or spec.format != "qcow2":
        return False
    cluster = spec.cluster_bytes or QCOW2_CLUSTER
    chosen = case.policy.mirror.granularity or case.granularities.get(choice.disk.target)
    granularity = chosen or min(cluster, _LARGEST_GRANULARITY)
    return case.method is Method.SYNCHRONOUS or granularity < cluster


def _zeroes_found(_case: Case, choice: Choice) -> bool:
    return choice.disk.detect_zeroes == "unmap"


def _zeroes_found_in_qcow2(case: Case, choice: Choice) -> bool:
    formats = {choice.disk.format, choice.destination.format if choice.destination else ""}
    return _zeroes_found(case, choice) and "qcow2" in formats


def _throttled_in_iothreads(case: Case, choice: Choice) -> bool:
    threads = sum(disk.iothread for disk in case.inventory.domain.disks)
    return choice.disk.iothread and choice.disk.throttled and threads > 1


_WHETHER: Mapping[Concerns, Callable[[Case, Choice], bool]] = {
    Concerns.EVERY: lambda _case, _choice: True,
    Concerns.ZEROES_MEET_WRITES: _zeroes_meet_writes,
    Concerns.ZEROES_FOUND: _zeroes_found,
    Concerns.ZEROES_FOUND_IN_QCOW2: _zeroes_found_in_qcow2,
    Concerns.IDE: lambda _case, choice: choice.disk.bus in ("ide", "sata"),
    Concerns.IOTHREAD: lambda _case, choice: choice.disk.iothread,
    Concerns.THROTTLED_IN_IOTHREADS: _throttled_in_iothreads,
    Concerns.ENCRYPTED: lambda _case, choice: choice.destination is not None and choice.destination.luks is not None,
}
