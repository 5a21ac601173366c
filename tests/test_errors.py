"""The error tree: codes are a contract, near names are offered."""

import ast
from pathlib import Path

import pytest

import svmove.errors
from svmove.errors import CopyError, HypervisorError, NotFoundError, NotReadyError, SvmoveError


@pytest.mark.parametrize(
    ("known", "remedy"),
    [
        (("web-1", "web-2", "db"), "did you mean 'web-2' or 'web-1'?"),
        (("db",), None),
        ((), None),
    ],
)
def test_near_names_are_offered_and_far_ones_are_not(known: tuple[str, ...], remedy: str | None) -> None:
    error = NotFoundError("domain", "web-22", known)
    assert remedy == error.remedy
    assert (error.code, error.text) == ("no-such-domain", "no domain 'web-22'")


def test_a_copy_error_carries_its_reason_beside_its_code() -> None:
    assert (CopyError("x").reason, CopyError("x", reason="no-space").reason) == ("copy-failed", "no-space")


def test_not_ready_is_one_of_libvirts_refusals() -> None:
    assert isinstance(NotReadyError("x", number=1), HypervisorError)


def test_every_error_has_a_code_of_its_own() -> None:
    tree = ast.parse(Path(svmove.errors.__file__).read_text())
    classes = [getattr(svmove.errors, node.name) for node in tree.body if isinstance(node, ast.ClassDef)]
    assert all(issubclass(one, SvmoveError) for one in classes)
    codes = [one.code for one in classes if one is not NotFoundError]
    assert sorted(set(codes)) == sorted(codes)
