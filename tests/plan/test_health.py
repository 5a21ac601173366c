"""Each line of `svmove doctor`: where it is told, and that all is well where nothing is wrong."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import svmove.plan
from svmove.budgets import PoolPolicy
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
from svmove.location import SecretState
from svmove.model import Versions
from svmove.plan.health import CHECKS, judge, worst
from svmove.plan.places import KINDS
from svmove.policy import Policy
from svmove.units import GiB, MiB
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


OLD = Versions(libvirt=8_000_000, qemu=11_000_001)
GONE = Trouble(text="can't connect", remedy="start libvirtd")
RBD = replace(FAST, pool=pool("vms", type="rbd", path=None, network="rbd://10.0.0.1/vms"), kind=None, direct=None)

TOLD = [
    Told(
        code="libvirt-unreachable",
        mark=Mark.PROBLEM,
        facts=Facts(now=NOW, libvirt=LibvirtFacts(uri="qemu:///system", unreachable=GONE), journal=JOURNAL),
        subject="libvirt",
        says="start libvirtd",
    ),
    Told(
        code="not-qemu",
        mark=Mark.PROBLEM,
        facts=setup(driver="Xen"),
        subject="libvirt",
        says="--connect qemu:///system",
    ),
    Told(
        code="host",
        mark=Mark.PROBLEM,
        facts=host(trouble=Trouble(text="it is on another host", remedy="run svmove on h2")),
        subject="host",
        says="run svmove on h2",
    ),
    Told(code="old-version", mark=Mark.WARNING, facts=libvirt(versions=OLD), subject="libvirt", says="older than"),
    Told(
        code="known-bad",
        mark=Mark.WARNING,
        facts=libvirt(versions=Versions(libvirt=12_000_000, qemu=10_000_000)),
        subject="QEMU",
        says="issues/3273",
        also=("known-bad", "known-bad-for-some"),
    ),
    Told(
        code="known-bad",
        mark=Mark.NOTE,
        facts=libvirt(versions=Versions(libvirt=9_000_000, qemu=11_000_001)),
        subject="libvirt",
        says="of no move of svmove's",
    ),
    Told(
        code="known-bad-for-some",
        mark=Mark.NOTE,
        facts=libvirt(versions=Versions(libvirt=10_000_000, qemu=7_002_022)),
        subject="QEMU",
        says="disks on IDE or SATA; disks with an iothread",
    ),
    Told(
        code="command-missing",
        mark=Mark.PROBLEM,
        facts=host(missing=("qemu-img",)),
        subject="commands",
        says="apt-get install qemu-utils",
    ),
    Told(
        code="command-missing",
        mark=Mark.NOTE,
        facts=replace(host(missing=("ceph",)), pools=(RBD,), pool_names=frozenset({"vms"})),
        subject="commands",
        says="the quota of rbd pools",
    ),
    Told(
        code="no-permission", mark=Mark.PROBLEM, facts=host(looks_into_qemu=False), subject="user", says="root (sudo)"
    ),
    Told(code="kvm-shut", mark=Mark.WARNING, facts=host(kvm_open=False), subject="kvm", says="chmod 660 /dev/kvm"),
    Told(
        code="confined",
        mark=Mark.NOTE,
        facts=setup(confined_by=("apparmor",)),
        subject="security",
        says="'/var/lib/svmove/scratch/** rwk,'",
    ),
    Told(
        code="confined", mark=Mark.NOTE, facts=setup(confined_by=("selinux",)), subject="security", says="svirt_image_t"
    ),
    Told(
        code="no-scratch",
        mark=Mark.PROBLEM,
        facts=host(scratch_free=1),
        subject="scratch /var/lib/svmove/scratch",
        says="paths.scratch",
    ),
    Told(
        code="scratch-shut",
        mark=Mark.PROBLEM,
        facts=host(scratch_open=False),
        subject="scratch /var/lib/svmove/scratch",
        says="chmod o+x",
    ),
    Told(
        code="scratch-in-memory",
        mark=Mark.NOTE,
        facts=host(scratch_kind="tmpfs"),
        subject="scratch /var/lib/svmove/scratch",
        says="the host's memory",
    ),
    Told(
        code="policy",
        mark=Mark.PROBLEM,
        facts=replace(WELL, policy_trouble=Trouble(text="policy.toml, line 3: no such key")),
        subject="policy",
        says="svmove policy check",
    ),
    Told(
        code="unknown-pool",
        mark=Mark.WARNING,
        facts=replace(WELL, policy=Policy(pools={"fats": PoolPolicy()})),
        subject="policy",
        says="there are: fast",
    ),
    Told(
        code="journal",
        mark=Mark.PROBLEM,
        facts=journal(trouble=Trouble(text="read-only", remedy="run as root")),
        subject="journal",
        says="run as root",
    ),
    Told(code="journal-volatile", mark=Mark.WARNING, facts=journal(kind="tmpfs"), subject="journal", says="--journal"),
    Told(code="journal-shared", mark=Mark.WARNING, facts=journal(kind="nfs"), subject="journal", says="postgresql://"),
    Told(code="journal-full", mark=Mark.WARNING, facts=journal(free=MiB), subject="journal", says="1.0 MiB free"),
    Told(code="clock", mark=Mark.WARNING, facts=journal(newest=NOW + 3600), subject="clock", says="in the future"),
    Told(code="no-zones", mark=Mark.WARNING, facts=replace(WELL, zones=False), subject="clock", says="tzdata"),
    Told(
        code="backend-missing",
        mark=Mark.NOTE,
        facts=setup(pool_types=frozenset(KINDS) - {"rbd"}),
        subject="backends",
        says="apt-get install libvirt-daemon-driver-storage-rbd, and restart",
    ),
    Told(
        code="no-such-pool",
        mark=Mark.PROBLEM,
        facts=replace(WELL, asked=frozenset({"fats"}), pools=()),
        subject="pool fats",
        says="there are: fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.PROBLEM,
        facts=one_pool(pool=pool("fast", active=False)),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.WARNING,
        facts=one_pool(pool=pool("fast", active=False, autostart=False)),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.PROBLEM,
        facts=replace(one_pool(pool=pool("fast", active=False, autostart=False)), asked=frozenset({"fast"})),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="no-autostart",
        mark=Mark.NOTE,
        facts=one_pool(pool=pool("fast", autostart=False)),
        subject="pool fast",
        says="virsh pool-autostart fast",
    ),
    Told(
        code="pool-type",
        mark=Mark.NOTE,
        facts=one_pool(pool=pool("fast", type="gluster")),
        subject="pool fast",
        says="gluster",
    ),
    Told(
        code="secret-missing",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.MISSING}),
        subject="pool fast",
        says="virsh secret-define",
    ),
    Told(
        code="secret-missing",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.EMPTY}),
        subject="pool fast",
        says="has no value",
    ),
    Told(
        code="secret-private",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.PRIVATE}),
        subject="pool fast",
        says="private='no'",
    ),
    Told(
        code="storage-silent",
        mark=Mark.PROBLEM,
        facts=one_pool(silent="no answer in 5 s"),
        subject="pool fast",
        says="no answer in 5 s",
    ),
    Told(code="no-folder", mark=Mark.PROBLEM, facts=one_pool(there=False), subject="pool fast", says="/pools/fast"),
    Told(code="no-access", mark=Mark.PROBLEM, facts=one_pool(open=False), subject="pool fast", says="chmod o+x"),
    Told(
        code="no-direct",
        mark=Mark.NOTE,
        facts=one_pool(direct=False, kind="fuseblk"),
        subject="pool fast",
        says="cache='writeback'",
    ),
    Told(code="in-memory", mark=Mark.WARNING, facts=one_pool(kind="tmpfs"), subject="pool fast", says="the power"),
    Told(
        code="no-space",
        mark=Mark.WARNING,
        facts=one_pool(pool=pool("fast", available=MiB)),
        subject="pool fast",
        says="less than the reserve",
    ),
    Told(code="unfinished", mark=Mark.WARNING, facts=moves(left=("m-1",)), subject="moves", says="svmove resume m-1"),
    Told(code="held", mark=Mark.WARNING, facts=moves(held=("m-1",)), subject="moves", says="svmove show m-1"),
    Told(code="journal-lost", mark=Mark.WARNING, facts=moves(unknown=("m-1",)), subject="moves", says="resume --all"),
    Told(code="leftovers", mark=Mark.NOTE, facts=moves(removable=2), subject="moves", says="svmove gc --yes"),
    Told(code="leftovers-kept", mark=Mark.NOTE, facts=moves(kept=1), subject="moves", says="svmove gc says why"),
    Told(code="moves", mark=Mark.WARNING, facts=moves(trouble=GONE), subject="moves", says="can't connect"),
]
# What is not as it should be is told, with these alone without a remedy: nothing can be done, or it says so itself.
WITHOUT_REMEDY = {"in-memory"}


def not_well(facts: Facts) -> list[Line]:
    return [line for line in judge(facts) if line.mark is not Mark.OK]


@pytest.mark.parametrize("case", TOLD, ids=lambda case: f"{case.code}-{case.mark}")
def test_what_is_not_well_is_told_once_with_its_remedy_and_nothing_else_is(case: Told) -> None:
    line, *more = not_well(case.facts)
    assert tuple(other.code for other in more) == case.also
    assert (case.code, case.mark, case.subject) == (line.code, line.mark, line.subject)
    assert case.says in f"{line.seen} {line.remedy}"
    assert (line.remedy is None) == (line.code in WITHOUT_REMEDY)


def test_where_all_is_well_each_subject_says_so() -> None:
    lines = judge(WELL)
    assert not_well(WELL) == []
    assert worst(lines) is Mark.OK
    assert {line.subject for line in lines} == {
        "libvirt",
        "QEMU",
        "commands",
        "user",
        "kvm",
        "scratch /var/lib/svmove/scratch",
        "policy",
        "journal",
        "clock",
        "backends",
        "pool fast",
        "moves",
    }


QUIET = [
    ("confined", setup(confined_by=("other",))),
    ("command-missing", host(missing=("ceph",))),  # no pool needs it
    ("kvm-shut", replace(host(kvm_open=False), libvirt=replace(LIBVIRT, setup=replace(SETUP, kvm=False)))),
    ("kvm-shut", host(kvm_node=False, kvm_open=False)),
    ("kvm-shut", host(kvm_open=None)),
    ("scratch-shut", host(scratch_open=None)),
    ("clock", journal(newest=NOW + 2)),
    ("journal-full", journal(free=None, on_server=True, kind=None)),
    ("no-space", one_pool(pool=pool("fast", type="disk", available=0))),  # its partitions are there
    ("backend-missing", setup(pool_types=None)),  # this libvirt can't tell
    ("no-access", one_pool(open=None)),
    ("no-direct", one_pool(direct=None)),
    ("no-such-pool", replace(WELL, asked=frozenset({"fast"}))),
]


@pytest.mark.parametrize(("code", "facts"), QUIET)
def test_nothing_is_told_without_a_cause(code: str, facts: Facts) -> None:
    assert code not in {line.code for line in not_well(facts)}


def test_of_a_host_that_is_not_known_nothing_is_said_but_that() -> None:
    lines = judge(host(trouble=Trouble(text="it is on another host")))
    assert not {"commands", "user", "kvm"} & {line.subject for line in lines}


def test_the_worst_of_lines_is_the_last_of_the_marks() -> None:
    marks = [Mark.OK, Mark.NOTE, Mark.WARNING, Mark.PROBLEM]
    lines = [Line(mark=mark, subject="x", code="x", seen="x") for mark in marks]
    for number, mark in enumerate(marks):
        assert worst(lines[: number + 1]) is mark
    assert worst([]) is Mark.OK


def _codes_in_the_source() -> Iterator[tuple[str, bool]]:
    """Each code that a file names, and whether it is of a line that says that all is well."""
    for path in Path(svmove.plan.__file__).parent.glob("health_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func) == "Line":
                named = {word.arg: word.value for word in node.keywords}
                code, mark = named["code"], ast.unparse(named["mark"])
            elif ast.unparse(node.func) == "_line":
                code, mark = node.args[2], ast.unparse(node.args[1])
            else:
                continue
            if isinstance(code, ast.Constant):
                yield str(code.value), mark == "Mark.OK"


def test_every_code_of_the_source_is_tried_here() -> None:
    codes = {code for code, well in _codes_in_the_source() if not well} | {"secret-missing", "secret-private"}
    assert len(codes) > 30
    assert codes == {case.code for case in TOLD}


def test_every_check_is_in_the_table_once() -> None:
    written = {
        f"{path.stem}.{node.name}"
        for path in Path(svmove.plan.__file__).parent.glob("health_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert [f"{check.__module__.rpartition('.')[2]}.{check.__name__}" for check in CHECKS] == sorted(
        written, key=[f"{check.__module__.rpartition('.')[2]}.{check.__name__}" for check in CHECKS].index
    )


def test_every_code_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    assert not {case.code for case in TOLD if f"`{case.code}`" not in text}
