"""The house: a module imports only from floors below it or from its own room; few know libvirt or commands."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import svmove

FLOORS = {
    **dict.fromkeys(("errors", "units", "model", "ports", "ports_host", "clock", "policy", "policy_file", "redact"), 0),
    **dict.fromkeys(("requests", "volumes", "moves", "outcomes", "decisions", "location", "blockdev", "budgets"), 0),
    **dict.fromkeys(("objections", "layers", "windows", "addresses", "retries"), 0),
    **dict.fromkeys(("affinity", "events", "fleet", "health", "latency", "proposals", "survey"), 0),
    **dict.fromkeys(("virt", "host"), 1),
    **dict.fromkeys(("plan", "journal", "reach"), 2),
    "move": 3,
    **dict.fromkeys(("campaign", "doctor", "mover", "placer", "view"), 4),
    **dict.fromkeys(("cli", "lab"), 5),
}
# Drawn in the plan of the house, beside those that go down.
ARROWS = {("cli", "lab")}
# Who may import what is not ours.
OWNERS = {
    "libvirt": {"virt"},
    "libvirt_qemu": {"virt"},
    "subprocess": {"host", "lab"},
    "paramiko": {"host"},
}
LONGEST = 300
PACKAGE = Path(svmove.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def imports(source: str, module: str) -> Iterator[str]:
    """Full names of all that is imported anywhere: in functions and for type checkers as well."""
    parts = ["svmove", *module.removesuffix(".py").split("/")]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "import_module",
            "__import__",
            "importlib.import_module",
        ):
            yield ast.literal_eval(node.args[0])


def room(module: str) -> str:
    return module.split("/")[0].removesuffix(".py")


def offences(module: str, source: str) -> list[str]:
    own, found = room(module), []
    for name in imports(source, module):
        top, _, rest = name.partition(".")
        if top in OWNERS and own not in OWNERS[top]:
            found.append(f"{module} imports {top}")
        if top != "svmove" or not rest:
            continue
        other = rest.partition(".")[0]
        if other.startswith("__") or other == own:
            continue
        if other not in FLOORS:
            found.append(f"{module} imports {other}, which has no floor")
        elif FLOORS[own] == 0 and FLOORS[other] == 0:
            continue  # the ground floor is one room
        elif FLOORS[other] >= FLOORS[own] and (own, other) not in ARROWS:
            found.append(f"{module} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})")
    return found


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in SOURCES} - {"__init__", "__main__"} == set(FLOORS)


@pytest.mark.parametrize("module", [name for name in SOURCES if room(name) in FLOORS])
def test_a_module_imports_only_what_lies_below_it(module: str) -> None:
    assert offences(module, SOURCES[module]) == []


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_can_be_read_in_one_go(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= LONGEST


def test_the_package_itself_imports_nothing() -> None:
    assert list(imports(SOURCES["__init__.py"], "__init__.py")) == []


@pytest.mark.parametrize(
    ("module", "source", "offends"),
    [
        ("plan/x.py", "from svmove.move.phases import Phase", True),
        ("plan/x.py", "import svmove.move.phases", True),
        ("plan/x.py", "from svmove import mover", True),
        ("plan/x.py", "from ..move import phases", True),
        ("plan/x.py", "from .case import Case", False),
        ("plan/x.py", "from svmove.journal import Journal", True),
        ("journal/x.py", "from svmove.plan.planner import make_plan", True),
        ("virt/x.py", "from svmove.host import command", True),
        ("view/x.py", "from svmove.mover import Mover", True),
        ("lab/x.py", "from svmove.cli import main", True),
        ("cli/x.py", "from svmove.lab import Lab", False),
        ("units.py", "from svmove.errors import UsageError", False),
        ("units.py", "from svmove.host.local import LocalHost", True),
        ("move/x.py", "def f():\n    from svmove.cli import main", True),
        ("move/x.py", "if TYPE_CHECKING:\n    from svmove.view import tables", True),
        ("move/x.py", "import importlib\nimportlib.import_module('svmove.view.tables')", True),
        ("move/x.py", "from svmove.virt import xml", False),
        ("move/x.py", "import libvirt", True),
        ("move/x.py", "from libvirt import open", True),
        ("virt/x.py", "import libvirt, libvirt_qemu", False),
        ("cli/x.py", "def f():\n    import subprocess", True),
        ("host/x.py", "import subprocess", False),
        ("lab/x.py", "import subprocess", False),
        ("lab/x.py", "import paramiko", True),
        ("host/x.py", "import paramiko.client", False),
        ("mover.py", "from svmove.attic import x", True),
        ("mover.py", "from svmove import __version__", False),
    ],
)
def test_the_check_itself_finds_offenders_and_no_others(module: str, source: str, offends: bool) -> None:
    assert offends == bool(offences(module, source))
