"""`svmove policy`: show, check, schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from svmove.cli.context import Options
from svmove.cli.main import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """With a policy of the system's, and the user's."""
    monkeypatch.delenv("SVMOVE_POLICY", raising=False)
    monkeypatch.setenv("SVMOVE_ETC", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/svmove").mkdir(parents=True)
    (tmp_path / "policy.toml").write_text('[move]\nmax_pause = "1s"\nbandwidth = "100MiB/s"\n')
    (tmp_path / "config/svmove/policy.toml").write_text('[move]\nbandwidth = "none"\n')
    return tmp_path


def shown(captured: Captured) -> dict[str, Any]:
    found = json.loads(captured.readouterr().out)
    return {one.pop("key"): one for one in found["keys"]}


def test_what_is_in_force_is_told_with_its_place(capsys: Captured, folder: Path) -> None:
    named = folder / "svmove.toml"
    named.write_text('# of this night\n[space]\nreserve = "2GiB"\n')
    assert run(["--policy", str(named), "policy", "show", "--deadline", "2h", "--json"]) == 0
    found = shown(capsys)
    user = str(folder / "config/svmove/policy.toml")
    nowhere = {"file": None, "line": None, "option": None}
    assert found["move.max_pause"] == {
        "value": "1s",
        "number": 1.0,
        "source": "file",
        "file": str(folder / "policy.toml"),
        "line": 2,
        "option": None,
    }
    assert found["move.bandwidth"] | {"source": "file", "file": user, "line": 2} == found["move.bandwidth"]
    assert found["space.reserve"] | {"number": 2 << 30, "file": str(named), "line": 3} == found["space.reserve"]
    deadline = {**nowhere, "value": "2h", "number": 7200.0, "source": "option", "option": "--deadline"}
    assert found["move.deadline"] == deadline
    assert found["verify.workers"] == {**nowhere, "value": 4, "number": None, "source": "default"}


def test_it_is_a_table_for_people(capsys: Captured, folder: Path) -> None:
    assert run(["policy", "show"]) == 0
    said = capsys.readouterr().out
    assert f"{folder / 'policy.toml'}:2" in said.replace("\n", "")
    assert all(word in said for word in ("move.max_pause", '"1s"', "default"))


def test_what_can_not_be_in_force_is_not_shown(capsys: Captured, folder: Path) -> None:
    (folder / "policy.toml").write_text("[move]\nmax_pause = 1\n")
    assert run(["policy", "show", "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{folder / 'policy.toml'}:2: move.max_pause: 1 has no unit" in printed.err


def test_an_option_is_checked_with_the_rest(capsys: Captured, folder: Path) -> None:
    assert run(["policy", "show", "--max-pause", "100ms"]) == 2
    assert "--max-pause: move.max_pause: move.pivot_reserve leaves nothing" in capsys.readouterr().err


def test_a_good_file_is_good(capsys: Captured, folder: Path) -> None:
    assert run(["policy", "check", str(folder / "policy.toml")]) == 0
    assert capsys.readouterr().out == f"{folder / 'policy.toml'}: good\n"
    assert run(["policy", "check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    layers = [str(folder / "policy.toml"), str(folder / "config/svmove/policy.toml")]
    assert found == {"schema": 1, "files": layers, "valid": True, "errors": []}


def test_a_wrong_file_exits_with_2_and_has_all_its_errors(capsys: Captured, folder: Path) -> None:
    path = folder / "wrong.toml"
    path.write_text("[move]\nmax_pauze = '1s'\n[moves]\n[space]\nreserve = '1'\n")
    assert run(["policy", "check", str(path), str(folder / "none.toml"), "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [(Path(one["file"]).name, one["line"], one["key"]) for one in errors] == [
        ("none.toml", None, None),
        ("wrong.toml", 2, "move.max_pauze"),
        ("wrong.toml", 3, "moves"),
        ("wrong.toml", 5, "space.reserve"),
    ]
    assert errors[1]["remedy"] == "did you mean max_pause?"
    assert run(["policy", "check", str(path)]) == 2
    said = capsys.readouterr().out
    assert f"{path}:2: move.max_pauze: there is no such key\n    did you mean max_pause?\n" in said


def test_files_that_are_named_together_are_layers(capsys: Captured, folder: Path) -> None:
    (folder / "a.toml").write_text("[move]\nmax_pause = '5s'\n")
    (folder / "b.toml").write_text("[move]\npivot_reserve = '3s'\n")
    assert run(["policy", "check", str(folder / "b.toml")]) == 2
    assert run(["policy", "check", str(folder / "a.toml"), str(folder / "b.toml")]) == 0


def test_without_any_file_all_is_by_default(capsys: Captured, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("SVMOVE_ETC", "/nonexistent")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    assert run(["policy", "check"]) == 0
    assert "by default" in capsys.readouterr().out


def test_the_schema_is_one_json_document(capsys: Captured) -> None:
    assert run(["policy", "schema"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["type"], found["additionalProperties"]) == ("object", False)


def test_a_wrong_policy_stops_every_command_that_needs_one(capsys: Captured, folder: Path) -> None:
    (folder / "policy.toml").write_text("[moves]\n")
    assert run(["move", "web", "--to", "fast"]) == 2
    assert f"policy {folder / 'policy.toml'}:1: moves: there is no such key" in capsys.readouterr().err


def test_what_a_command_has_read_stays_in_force_for_it_and_its_guard(folder: Path) -> None:
    options = Options(connect=(), policy=None, journal=None, verbose=False)
    before = options.load_policy()
    (folder / "policy.toml").write_text("spoiled")
    assert options.load_policy() is before
