"""All lines of `svmove doctor`: that all is well where nothing is wrong, and that each is tried and documented."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import svmove.plan
from svmove.health import Facts, Line, Mark, Trouble
from svmove.plan.health import CHECKS, judge, worst
from tests.plan import health_host, health_pools, health_records
from tests.plan.health import WELL, Told, host, is_told_once_with_its_remedy, not_well

TOLD = [*health_host.TOLD, *health_pools.TOLD, *health_records.TOLD]
QUIET = [*health_host.QUIET, *health_pools.QUIET, *health_records.QUIET]


@pytest.mark.parametrize("case", TOLD, ids=lambda case: f"{case.code}-{case.mark}")
def test_what_is_not_well_is_told_once_with_its_remedy_and_nothing_else_is(case: Told) -> None:
    is_told_once_with_its_remedy(case)


@pytest.mark.parametrize(("code", "facts"), QUIET)
def test_nothing_is_told_without_a_cause(code: str, facts: Facts) -> None:
    assert code not in {line.code for line in not_well(facts)}


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
