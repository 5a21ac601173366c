"""What `svmove doctor` finds of a host where all is well, and each of its parts as it should not be."""

from dataclasses import dataclass, replace
from typing import Any

from svmove.health import (
    Facts,
    HostFacts,
    JournalFacts,
    LibvirtFacts,
    Line,
    Mark,
    MoveFacts,
    PoolFacts,
    Setup,
    Trouble,
)
from svmove.model import Versions
from svmove.plan.health import judge
from svmove.plan.places import KINDS
from svmove.units import GiB
from tests.builders import NOW, pool

SETUP = Setup(pool_types=frozenset(KINDS), qemu_user=(64055, 109), kvm=True)
LIBVIRT = LibvirtFacts(
    uri="qemu:///system", versions=Versions(libvirt=12_000_000, qemu=11_000_001), setup=SETUP, guests=2
)
HOST = HostFacts(
    scratch="/var/lib/svmove/scratch",
    scratch_free=100 * GiB,
    scratch_open=True,
    scratch_kind="xfs",
    kvm_node=True,
    kvm_open=True,
)
JOURNAL = JournalFacts(name="journal /var/lib/svmove/journal.sqlite", kind="xfs", free=GiB, newest=NOW - 1)
FAST = PoolFacts(pool=pool("fast"), kind="xfs", direct=True, reflink=True, open=True)
WELL = Facts(
    now=NOW,
    libvirt=LIBVIRT,
    host=HOST,
    policy_files=("/etc/svmove/policy.toml",),
    journal=JOURNAL,
    pools=(FAST,),
    pool_names=frozenset({"fast"}),
    moves=MoveFacts(),
)


def libvirt(**changed: Any) -> Facts:
    return replace(WELL, libvirt=replace(LIBVIRT, **changed))


def setup(**changed: Any) -> Facts:
    return libvirt(setup=replace(SETUP, **changed))


def host(**changed: Any) -> Facts:
    return replace(WELL, host=replace(HOST, **changed))


def journal(**changed: Any) -> Facts:
    return replace(WELL, journal=replace(JOURNAL, **changed))


def one_pool(**changed: Any) -> Facts:
    return replace(WELL, pools=(replace(FAST, **changed),))


def moves(**changed: Any) -> Facts:
    return replace(WELL, moves=MoveFacts(**changed))


@dataclass(frozen=True, kw_only=True)
class Told:
    code: str
    mark: Mark
    facts: Facts
    says: str  # part of what was seen, or of the remedy
    subject: str
    also: tuple[str, ...] = ()  # the codes of lines after it


GONE = Trouble(text="can't connect", remedy="start libvirtd")

# What is not as it should be is told, with these alone without a remedy: nothing can be done, or it says so itself.
_WITHOUT_REMEDY = {"in-memory"}


def not_well(facts: Facts) -> list[Line]:
    return [line for line in judge(facts) if line.mark is not Mark.OK]


def is_told_once_with_its_remedy(case: Told) -> None:
    line, *more = not_well(case.facts)
    assert tuple(other.code for other in more) == case.also
    assert (case.code, case.mark, case.subject) == (line.code, line.mark, line.subject)
    assert case.says in f"{line.seen} {line.remedy}"
    assert (line.remedy is None) == (line.code in _WITHOUT_REMEDY)
