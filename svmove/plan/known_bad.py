"""Versions of QEMU and libvirt with faults in the path that a live copy takes: one row each.

Read from issues, commits, announcements of stable releases, and the news of libvirt. Of a branch whose last releases
nobody has looked into, the row ends where the fix is known to be, or where the branch was still without it.
"""

from collections.abc import Iterator

from svmove.model import Versions
from svmove.moves import Finding, Level
from svmove.plan.case import Case
from svmove.plan.faults import Component, Concerns, Fault, Harm, of, show
from svmove.requests import Method, Verify

_SYNCHRONOUS = frozenset({Method.SYNCHRONOUS})
_START = "0.0.1"  # whatever came before
_QEMU_ISSUE = "https://gitlab.com/qemu-project/qemu/-/issues/"
_QEMU_COMMIT = "https://gitlab.com/qemu-project/qemu/-/commit/"
_LIBVIRT_NEWS = "https://libvirt.org/news.html#"

FAULTS: tuple[Fault, ...] = (
    Fault(
        component=Component.QEMU,
        ranges=(("8.2", "10.0.9"), ("10.1", "10.2.2")),
        harm=Harm.CORRUPTS,
        severity=Level.REFUSE,
        text="what the guest writes while a mirror starts may be missed",
        fixed="10.0.9, 11.0",
        source=_QEMU_ISSUE + "3273",
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.0", "8.2"),),
        harm=Harm.CORRUPTS,
        severity=Level.REFUSE,
        text="what the guest writes while a mirror with synchronous writes starts may be missed",
        fixed="10.0.9, 11.0",
        source=_QEMU_ISSUE + "3273",
        methods=_SYNCHRONOUS,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("10.1", "10.2.2"),),
        harm=Harm.CRASHES,
        text="QEMU aborts when the guest zeroes less than the mirror's granularity, with synchronous writes",
        fixed="after 10.2.1",
        source=_QEMU_COMMIT + "4a7b1bd18d2e1a6b3796e177ae5df9b198264a0b",
        methods=_SYNCHRONOUS,
    ),
    Fault(
        component=Component.QEMU,
        # 10.0.9 and 10.2.2 are of one day, and have it: so has all of 10.1 and 10.2 up to there.
        ranges=((_START, "10.0.10"), ("10.1", "10.2.3")),
        harm=Harm.CRASHES,
        text="a second request to complete a mirror trips an assertion, as libvirt 11.3 and later starts them",
        fixed="10.0.10",
        source=_QEMU_COMMIT + "9ac85f4cc7",
        with_libvirt="11.3",
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.2", "8.2.3"),),
        harm=Harm.HANGS,
        text="a mirror that is paused can deadlock",
        fixed="after 8.2.2",
        source=_QEMU_COMMIT + "ae5a40e8581185654a667fbbf7e4adbc2a2a3e45",
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.11"), ("10.1", "11.0.1")),
        harm=Harm.CORRUPTS,
        text="qcow2 can be corrupted when zeroes and data are written to one cluster at a time, as here",
        fixed="10.0.11",
        source="https://gitlab.com/qemu-project/qemu/-/compare/v10.0.10...v10.0.11",
        concerns=Concerns.ZEROES_MEET_WRITES,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.11"), ("10.1", "11.0.1")),  # master had the fix in June 2026, after 11.0
        harm=Harm.CORRUPTS,
        text="with detect_zeroes='unmap', zeroes that are written to a qcow2 can destroy data beside them",
        fixed="10.0.11",
        source=_QEMU_COMMIT + "1d47eb68983577a4e06fe1c165d90e128b191b86",
        concerns=Concerns.ZEROES_FOUND_IN_QCOW2,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("7.2", "7.2.1"),),
        harm=Harm.FAILS,
        text="with detect_zeroes='unmap', writes of zeroes fail with EINVAL",
        fixed="7.2.1",
        source=_QEMU_ISSUE + "1404",
        concerns=Concerns.ZEROES_FOUND,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("7.2", "10.0.10"), ("10.1", "10.2.3")),
        harm=Harm.HANGS,
        text="a TRIM of the guest on IDE or SATA can deadlock with a pivot",
        fixed="10.0.10",
        source="https://lists.nongnu.org/archive/html/qemu-devel/2023-03/msg02506.html",
        concerns=Concerns.IDE,
    ),
    Fault(
        component=Component.QEMU,
        ranges=(("8.1", "8.2.2"),),
        harm=Harm.HANGS,
        text="the I/O of a disk with an iothread can be stuck after a pivot",
        fixed="8.2.2",
        source=_QEMU_COMMIT + "5bdbaebcce18fe6a627cafad2043ec08f3de5744",
        concerns=Concerns.IOTHREAD,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.7"), ("10.1", "10.1.3")),
        harm=Harm.CRASHES,
        text="the I/O of a disk with an iothread that waited for a pivot can crash QEMU when it goes on",
        fixed="10.0.7, 10.1.3",
        source=_QEMU_COMMIT + "8eeaa706ba73251063cb80d87ae838d2d5b08e9a",
        concerns=Concerns.IOTHREAD,
    ),
    Fault(
        component=Component.QEMU,
        ranges=((_START, "10.0.9"), ("10.1", "10.2.2")),
        harm=Harm.HANGS,
        text="I/O limits of disks in several iothreads can deadlock",
        fixed="10.0.9",
        source=_QEMU_ISSUE + "3144",
        concerns=Concerns.THROTTLED_IN_IOTHREADS,
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=((_START, "7.3"),),
        harm=Harm.CORRUPTS,
        text="a mirror that is ready can be told as pivoted when it was cancelled, and the other way round",
        fixed="7.3",
        source=_LIBVIRT_NEWS + "v7-3-0-2021-05-03",
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=((_START, "7.3"),),
        harm=Harm.CORRUPTS,
        text="a mirror that is cancelled when it is ready leaves a copy that is not consistent",
        fixed="7.3",
        source=_LIBVIRT_NEWS + "v7-3-0-2021-05-03",
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=(("7.9", "7.10"),),
        harm=Harm.FAILS,
        text="a copy to an encrypted volume ends with an error that means nothing",
        fixed="7.10",
        source=_LIBVIRT_NEWS + "v7-10-0-2021-12-01",
        concerns=Concerns.ENCRYPTED,
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=(("6.5", "6.6"),),
        harm=Harm.FAILS,
        text="a copy to a destination that was used before can fail",
        fixed="6.6",
        source=_LIBVIRT_NEWS + "v6-6-0-2020-08-02",
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=(("9.0", "9.1"),),
        harm=Harm.FAILS,
        severity=Level.NOTE,
        text="the data of jobs that make an image leak, until the daemon makes no more of them",
        fixed="9.1; Debian's 9.0.0-2 has it",
        source="https://tracker.debian.org/pkg/libvirt",
        methods=frozenset(),  # svmove has its pools make the images
    ),
    Fault(
        component=Component.LIBVIRT,
        ranges=((_START, "5.1"),),
        harm=Harm.FAILS,
        text="a copy at 100 % is not ready, and its pivot fails",
        fixed="5.1",
        source=_LIBVIRT_NEWS + "v5-1-0-2019-03-04",
    ),
)


def corrupting(versions: Versions, method: Method) -> Fault | None:
    """The fault for which `auto` avoids a method whatever the disks are."""
    return next(
        (
            fault
            for fault in FAULTS
            if fault.harm is Harm.CORRUPTS
            and fault.concerns is Concerns.EVERY
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
        unseen = fault.severity is Level.REFUSE and case.verify is Verify.NONE and not case.request.keep_source
        yield Finding(
            level=Level.WARN if fault.severity is Level.REFUSE and not unseen else fault.severity,
            code="known-bad",
            text=f"{fault.component} {show(of(fault.component, versions))}, {', '.join(concerned)}: {fault.text} "
            f"(fixed in {fault.fixed})",
            remedy=remedy(fault, unseen=unseen),
            target=concerned[0] if len(concerned) == 1 else None,
        )


def remedy(fault: Fault, *, unseen: bool = False) -> str:
    upgrade = f"upgrade {fault.component}, unless your distribution has backported the fix ({fault.source})"
    if unseen:
        return (
            "leave --verify none out: the comparison finds it; or keep the source, and compare then: --keep-source; "
            f"or {upgrade}"
        )
    return upgrade + ("; leave the verification on, which finds it" if fault.harm is Harm.CORRUPTS else "")
