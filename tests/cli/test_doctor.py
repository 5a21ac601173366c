"""`svmove doctor` without a libvirt, and on libvirt's own test driver: exit codes, and the one document."""

import json
from pathlib import Path
from typing import Any

import pytest

from svmove.cli.main import run

NOWHERE = "qemu:///system?socket=/nonexistent/libvirt-sock"


def doctor(capfd: pytest.CaptureFixture[str], folder: Path, *words: str, uri: str = NOWHERE) -> tuple[int, Any]:
    """Exit code, and code → line."""
    journal = ["--journal", str(folder / "journal.sqlite")]
    code = run(["--connect", uri, *journal, *words, "doctor", "--json"])
    document = json.loads(capfd.readouterr().out)
    assert document["schema"] == 1
    return code, {line["code"]: line for line in document["lines"] if line["mark"] != "ok"} | {
        "worst": document["worst"]
    }


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SVMOVE_CONNECT", "SVMOVE_POLICY", "SVMOVE_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SVMOVE_ETC", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_without_libvirt_the_rest_is_looked_at_and_the_code_says_so(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, lines = doctor(capfd, tmp_path)
    assert (code, lines["worst"]) == (6, "problem")
    assert set(lines) - {"worst"} == {"libvirt-unreachable"}
    assert "systemctl start libvirtd" in lines["libvirt-unreachable"]["remedy"]


def test_a_password_in_a_uri_is_in_no_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(["--connect", "qemu+tcp://me:Xyzzy1@127.0.0.1:1/system", "--journal", str(tmp_path / "j"), "doctor", "--json"])
    captured = capfd.readouterr()
    assert "Xyzzy1" not in captured.out + captured.err


def test_a_policy_with_a_fault_and_a_journal_that_is_none_are_lines_like_others(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("[mov]\n")
    (tmp_path / "journal.sqlite").write_text("not a database" * 100)
    code, lines = doctor(capfd, tmp_path, "--policy", str(tmp_path / "bad.toml"))
    assert code == 6
    assert {"policy", "journal"} <= set(lines)
    assert "bad.toml" in lines["policy"]["seen"]
    assert (tmp_path / "journal.sqlite").read_text().startswith("not a database")


def test_another_driver_is_told_and_what_it_can_not_tell_is_left_out(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """libvirt's test driver has a pool whose folder is not there, no capabilities of storage, and a QEMU 0.0.2."""
    code, lines = doctor(capfd, tmp_path, uri="test:///default")
    assert (code, lines["worst"]) == (3, "problem")
    assert {"not-qemu", "no-folder", "no-autostart"} <= set(lines)
    assert lines["no-folder"]["seen"] == "there is no /default-pool"
    assert not {"libvirt-unreachable", "backend-missing", "old-version", "confined"} & set(lines)
