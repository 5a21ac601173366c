"""Which files are layers."""

import os
from pathlib import Path

import pytest

from svmove.layers.fault import PolicyError
from svmove.layers.files import found_by_themselves, layers

ROOT = os.geteuid() == 0


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_the_system_s_lies_below_the_user_s_and_the_named_one_above_both(tmp_path: Path) -> None:
    system, user = written(tmp_path / "etc/policy.toml"), written(tmp_path / "config/svmove/policy.toml")
    named = written(tmp_path / "svmove.toml")
    environment = {"SVMOVE_ETC": str(tmp_path / "etc"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert layers(environment, named) == (system, user, named)
    assert layers(environment, None) == (system, user)
    system.unlink()
    assert layers(environment, user) == (user,)


def test_a_file_in_the_current_folder_is_not_read_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("svmove.toml", "policy.toml"):
        written(tmp_path / name)
    assert layers({"SVMOVE_ETC": "/nonexistent", "XDG_CONFIG_HOME": "."}, None) == ()


def test_a_named_file_that_is_not_there_is_not_left_out(tmp_path: Path) -> None:
    named = tmp_path / "none.toml"
    assert layers({"SVMOVE_ETC": "/nonexistent"}, named) == (named,)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["/etc/svmove/policy.toml"]),
        ({"HOME": "/home/ada"}, ["/etc/svmove/policy.toml", "/home/ada/.config/svmove/policy.toml"]),
        ({"HOME": "/home/ada", "XDG_CONFIG_HOME": "/c"}, ["/etc/svmove/policy.toml", "/c/svmove/policy.toml"]),
        (
            {"HOME": "/home/ada", "XDG_CONFIG_HOME": "c", "SVMOVE_ETC": "/e"},
            ["/e/policy.toml", "/home/ada/.config/svmove/policy.toml"],
        ),
    ],
)
def test_where_a_layer_is_looked_for(environment: dict[str, str], expected: list[str]) -> None:
    assert [str(path) for path in found_by_themselves(environment)] == expected


def test_a_layer_that_everybody_may_write_to_is_not_obeyed(tmp_path: Path) -> None:
    path = written(tmp_path / "policy.toml")
    path.chmod(0o666)
    with pytest.raises(PolicyError, match="everybody may write") as caught:
        layers({"SVMOVE_ETC": str(tmp_path)}, None)
    assert "chmod o-w" in str(caught.value.remedy)
    assert layers({"SVMOVE_ETC": "/nonexistent"}, path) == (path,)  # who names it means it


def test_a_layer_of_another_user_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "policy.toml")
    os.chown(path, 12345, -1) if ROOT else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PolicyError, match="belongs to user"):
        layers({"SVMOVE_ETC": str(tmp_path)}, None)
