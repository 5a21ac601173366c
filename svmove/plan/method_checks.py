"""Checks of how the bytes get over: the method, its proof, and the versions that carry it out."""

from collections.abc import Iterator

from svmove.moves import Finding, Level
from svmove.plan import known_bad
from svmove.plan import method as methods
from svmove.plan.case import Case, refuse
from svmove.plan.faults import FLOOR, of, show
from svmove.requests import Method, Verify


def method(case: Case) -> Iterator[Finding]:
    libvirt = case.inventory.versions.libvirt
    if case.method is Method.SYNCHRONOUS and 0 < libvirt < methods.SYNCHRONOUS_FROM:
        yield refuse(
            "no-synchronous",
            f"libvirt {show(libvirt)} has no synchronous writes",
            "upgrade libvirt to 8.0 or later, or use --method mirror",
        )
    elif case.method is Method.SNAPSHOT and case.no_snapshot is not None:
        yield refuse("no-snapshot", case.no_snapshot, "use --method mirror, and --verify cutover")


def proof(case: Case) -> Iterator[Finding]:
    """A mirror follows the guest until the switch, so there is nothing that stands still to compare before it."""
    if case.verify is Verify.BEFORE and case.method in (Method.MIRROR, Method.SYNCHRONOUS):
        yield refuse(
            "verify-before",
            f"method {case.method} can't be verified before the switch: both copies change until then",
            "use --verify cutover"
            + (", or --method snapshot" if Method.SNAPSHOT in methods.AVAILABLE and case.no_snapshot is None else ""),
        )


def versions(case: Case) -> Iterator[Finding]:
    """Of the daemon and the QEMU that do the work, wherever they run."""
    for component, floor in FLOOR.items():
        if 0 < (found := of(component, case.inventory.versions)) < floor and case.method is not Method.OFFLINE:
            yield Finding(
                level=Level.WARN,
                code="old-version",
                text=f"{component} {show(found)} is older than anything that svmove has been tried with "
                f"({show(floor)})",
                remedy=f"upgrade {component}; or shut the guest down, and move it while it is off",
            )
    yield from known_bad.matching(case)
