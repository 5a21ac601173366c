"""Tables and progress, on a console that writes into a string."""

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from svmove.moves import Finding, Level, Plan
from svmove.outcomes import Failure, GuestOn, MediumOutcome, Mismatch, Outcome, Progress, State
from svmove.requests import Verify
from svmove.view import tables
from svmove.view.progress import ProgressView
from tests.builders import disk_plan, outcome, plan, planned, request, spec
from tests.view.test_document import DISK, FULL

MARKUP = ["[red]x[/red]", "[/]", "[/nothing]", "[bold", "\\[x]", "[link=file:///etc]x[/link]", ":warning:"]


def text(what: RenderableType, *, width: int = 300, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)
    tables.show(console, what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_never_markup_in_an_outcome(name: str) -> None:
    disk = replace(DISK, target=name, pool_from=name, pool_to=name, format=name)
    finding = Finding(level=Level.WARN, code=name, text=name, remedy=name, target=name)
    failure = Failure(code=name, text=name, guest_on=GuestOn.UNKNOWN, remedy=name)
    found: Outcome = outcome(
        move=name, domain=name, state=State.HELD, disks=(disk,), findings=(finding,), error=failure
    )
    assert text(tables.outcome(found)).count(name) == 4 + 3 + 1 + 3


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_never_markup_in_a_plan(name: str) -> None:
    disk = disk_plan(target=name, source=name, pool_from=name, destination=spec(pool=name, path=name, format=name))
    found: Plan = plan(disks=(disk,), there=(name,), method=name)
    assert text(tables.plan(found)).count(name) == 6 + 1 + 1


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_never_markup_in_a_table(name: str) -> None:
    assert name in text(tables.table(("a",), [(name,)]))


def test_a_long_path_is_folded_and_never_cut() -> None:
    path = "/pools/" + "x" * 200
    printed = text(tables.table(("a",), [(path,)]), width=60)
    assert "…" not in printed
    assert path in "".join(line.strip() for line in printed.splitlines())


def test_an_outcome_says_where_the_guest_is_and_what_to_do() -> None:
    printed = text(tables.outcome(FULL))
    for part in ("mismatch: differ", "the guest is on: destination", "look", "held", "1 extents differ"):
        assert part in printed


@pytest.mark.parametrize(
    ("verify", "verified", "mismatches", "expected"),
    [
        (Verify.CUTOVER, True, 0, "every byte"),
        (Verify.CUTOVER, False, 0, "no"),
        (Verify.CUTOVER, False, 2, "2 extents differ"),
        (Verify.NONE, False, 0, "not wanted"),
    ],
)
def test_every_byte_is_only_said_of_what_was_verified(
    verify: Verify, verified: bool, mismatches: int, expected: str
) -> None:
    extents = tuple(Mismatch(offset=at, length=1) for at in range(mismatches))
    disk = replace(DISK, verify=verify, verified=verified, mismatches=extents)
    printed = text(tables.outcome(outcome(disks=(disk,)))).splitlines()
    row = next(line for line in printed if line.lstrip().startswith("vda"))
    assert row.rstrip().endswith(expected)


def test_a_refused_plan_says_so() -> None:
    assert "refused" in text(tables.plan(planned(request(to="none"))))
    assert "refused" not in text(tables.plan(planned()))


def test_what_a_move_is_refused_for_is_the_last_thing_said_of_it() -> None:
    levels = (Level.REFUSE, Level.NOTE, Level.WARN)
    findings = tuple(Finding(level=level, code=f"a-{level}", text="so it is") for level in levels)
    printed = text(tables.outcome(outcome(state=State.REFUSED, findings=findings))).splitlines()
    said = [line.split()[0] for line in printed if "so it is" in line]
    assert (said, printed[-1].split()[0]) == (["note", "warn", "refuse"], "refused")


def test_a_plan_says_what_becomes_of_each_source() -> None:
    assert "deleted" in text(tables.plan(planned()))
    assert "kept" in text(tables.plan(planned(request(keep_source=True))))


def test_what_was_trimmed_and_what_is_in_each_drive_are_told() -> None:
    there = MediumOutcome(
        target="sda", pool_to="fast", source="/a.iso", destination="/b.iso", on=GuestOn.DESTINATION, found=True
    )
    here = replace(there, target="sdb", on=GuestOn.SOURCE)
    printed = text(tables.outcome(outcome(disks=(replace(DISK, trimmed_bytes=3 << 20),), media=(there, here))))
    assert "trimmed: 3.0 MiB" in printed
    assert "sda: /b.iso" in printed
    assert "sdb: /a.iso" in printed
    assert "trimmed" not in text(tables.outcome(outcome(disks=(DISK,))))


def progress(phase: str, target: str | None = None, done: int = 0, end: int = 0, said: str | None = None) -> Progress:
    return Progress(move="m", phase=phase, target=target, done=done, end=end, text=said)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", MARKUP)
def test_progress_takes_names_as_they_are(name: str, terminal: bool) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal, color_system=None)
    with ProgressView(console) as view:
        for phase in ("planned", "copying", "ready", "verifying", "done"):
            view.heed(progress(phase))
            view.heed(progress(phase, name, 50, 100))
            view.heed(progress(phase, said=name))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(name) >= 5


def test_without_a_terminal_each_phase_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=200)
    with ProgressView(console) as view:
        for number, phase in enumerate(("planned", "copying", "copying", "copying", "done")):
            view.heed(progress(phase, "vda", number, 10))
        assert view.phase == "done"
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if ":" not in line] == ["planned", "copying", "done"]
    assert len(lines) <= 4
