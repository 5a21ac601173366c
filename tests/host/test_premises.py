"""What the machine has, and what another user may do there: asked of the kernel, as that user."""

import ast
import os
import re
from pathlib import Path

import pytest

import svmove.host
from svmove.host.local import LocalHost
from svmove.host.premises import COMMANDS

NOBODY = (65534, 65534)
HERE = (os.geteuid(), os.getegid())
ROOT = os.geteuid() == 0  # nobody else can find out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Whose way everybody may go."""
    for above in (tmp_path, *tmp_path.parents):
        if above.owner() == tmp_path.owner() and above.stat().st_mode & 0o777 == 0o700:
            above.chmod(0o711)
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "how", "may"),
    [(0o700, "x", False), (0o711, "x", True), (0o711, "w", False), (0o755, "rx", True), (0o755, "rw", False)],
)
def test_a_user_may_do_what_the_modes_say(folder: Path, mode: int, how: str, may: bool) -> None:
    asked = folder / "asked"
    asked.mkdir()
    asked.chmod(mode)
    assert LocalHost().may_use(str(asked), *NOBODY, how) is (may if ROOT else None)


def test_a_folder_below_one_that_is_shut_can_not_be_entered(folder: Path) -> None:
    inner = folder / "shut" / "open"
    inner.mkdir(parents=True)
    inner.chmod(0o777)
    inner.parent.chmod(0o700)
    assert LocalHost().may_use(str(inner), *NOBODY, "x") is (False if ROOT else None)
    inner.parent.chmod(0o711)
    assert LocalHost().may_use(str(inner), *NOBODY, "x") is (True if ROOT else None)


def test_a_name_with_anything_in_it_is_but_a_name(folder: Path) -> None:
    odd = folder / "-x ( ! $(reboot)\n"
    odd.mkdir()
    odd.chmod(0o711)
    assert LocalHost().may_use(str(odd), *NOBODY, "x") is (True if ROOT else None)
    assert LocalHost().may_use(str(odd) + "?", *HERE, "x") is False


def test_commands_that_are_not_installed_are_told() -> None:
    assert LocalHost().missing(["sync", "no-such-command", "dd"]) == ("no-such-command",)


def test_a_file_system_has_a_kind_and_what_is_not_there_has_none(folder: Path) -> None:
    kind = LocalHost().filesystem_kind(str(folder))
    assert kind
    assert re.fullmatch(r"\S+", kind)
    assert LocalHost().filesystem_kind("/proc") == "proc"
    assert LocalHost().filesystem_kind(str(folder / "none")) is None


def _commands_in_the_source() -> set[str]:
    """First words of the argument lists in host/: of two words or more, the first with a small letter at its start."""
    found = set()
    for path in Path(svmove.host.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            first = node.elts[0] if isinstance(node, ast.List) and len(node.elts) > 1 else None
            if isinstance(first, ast.Constant) and re.fullmatch(r"[a-z][a-z0-9-]+", str(first.value)):
                found.add(str(first.value))
    return found


def test_every_command_of_the_host_is_known_with_its_package() -> None:
    assert _commands_in_the_source() - set(COMMANDS) == {"sudo"}  # on the way there, if the policy says so
    # Not in a list that begins with it: test(1), which the user is put before.
    assert set(COMMANDS) - _commands_in_the_source() == {"test"}
