"""The table of checks as a whole: each is in it, each code is tried by a room, and what several say together."""

import ast
from dataclasses import replace
from pathlib import Path

import svmove.plan
from svmove.moves import Finding, Level
from svmove.plan.admission import CHECKS
from svmove.requests import Verify
from tests.builders import disk, inventory, planned, request
from tests.plan import (
    test_chain_checks,
    test_destinations,
    test_disk_checks,
    test_encryption,
    test_guest,
    test_luns,
    test_method_checks,
    test_shapes,
    test_space,
)
from tests.plan.fires import VDA, images

ROOMS = (
    test_chain_checks,
    test_destinations,
    test_disk_checks,
    test_encryption,
    test_guest,
    test_luns,
    test_method_checks,
    test_shapes,
    test_space,
)
CASES = tuple(case for room in ROOMS for case in room.FIRES)


def test_a_plain_guest_gives_no_finding_at_all() -> None:
    assert planned().findings == ()
    assert not planned().refused


def test_several_causes_are_all_told_at_once() -> None:
    bad = inventory(disk(), images=images(internal_snapshots=("s1",)), used_elsewhere={VDA: "db"}, scratch_free=0)
    found = planned(request(), bad).findings
    assert {"internal-snapshots", "used-elsewhere", "no-scratch"} == {one.code for one in found}


def test_every_refusal_but_a_few_says_what_to_do() -> None:
    without = {
        one.code
        for case in CASES
        for one in planned(case.asked, case.found, case.policy).findings
        if one.level is Level.REFUSE and one.remedy is None
    }
    assert without <= {"unsupported-format", "nothing-to-move", "encrypted"}


def _codes_in_the_source() -> set[str]:
    """The codes that the rooms' sources name: refuse("code", ...) and Finding(code="code")."""
    found = set()
    for path in Path(svmove.plan.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("refuse", "Finding"):
                continue
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
            found |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return found


def test_every_code_of_the_plan_is_tried_in_a_room() -> None:
    codes = _codes_in_the_source()
    assert len(codes) > 20
    # A pool is always known by the time that the checks run: the request would contradict itself.
    assert codes - {case.code for case in CASES} == {"name-twice", "no-pool"}


def test_every_check_is_in_the_table_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS)
    written = {
        f"{path.stem}.{node.name}"
        for path in Path(svmove.plan.__file__).parent.glob("*_checks.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert written == {f"{check.__module__.rpartition('.')[2]}.{check.__name__}" for check in CHECKS}


def test_a_finding_can_not_be_changed() -> None:
    found = planned(request(verify=Verify.NONE)).findings
    assert hash(found[0]) == hash(replace(found[0]))
    assert isinstance(found[0], Finding)
