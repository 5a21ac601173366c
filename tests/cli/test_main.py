"""The command line: exit codes, what is on stdout and what on stderr, what is imported."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from svmove.cli import complete, exits
from svmove.cli.context import Options
from svmove.cli.main import run
from svmove.errors import (
    HostError,
    JournalError,
    NotFoundError,
    RefusedError,
    SvmoveError,
    UnreachableError,
    UsageError,
)
from svmove.outcomes import Failure, GuestOn, State
from tests.builders import outcome
from tests.fake import refuse
from tests.move.stage import Stage

NOWHERE = "qemu:///system?socket=/nonexistent/libvirt-sock"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No daemon, no journal and no policy of the machine's."""
    for name in ("SVMOVE_CONNECT", "SVMOVE_POLICY", "SVMOVE_JOURNAL", "SVMOVE_LAB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", NOWHERE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


# Usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["move", "web", "--to", "fast", "--bandwidth", "200"], "'200'"),
        (["move", "web", "--to", "fast", "--bandwidth", "200MiB"], "MiB/s"),
        (["move", "web", "--to", "fast", "--max-pause", "2"], "'2'"),
        (["move", "web", "--to", "fast", "--max-pause", "0s"], "more than zero"),
        (["move", "web", "--to", "fast", "--disk", "vda,size=1"], "TARGET[=POOL]"),
        (["move", "web", "--to", "fast", "--format", "vmdk"], "keep, raw, qcow2"),
        (["move", "web", "--to", "fast", "--at", "soon"], "22:00"),
        (["plan", "web", "--to", "fast", "--at", "22:00 Europe/Berlim"], "Europe/Berlin"),
        (["move", "web", "--to", "fast", "--verify", "maybe"], "cutover, before, none"),
        (["plan", "web", "--to", "fast", "--bandwidth", "200"], "'200'"),
        (["--policy", "/nonexistent.toml", "plan", "web", "--to", "fast"], "/nonexistent.toml"),
        (["move"], "DOMAIN"),
        (["mvoe"], "mvoe"),
        (["move", "web", "--ot", "fast"], "--ot"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_a_usage_error_is_one_also_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["move", "web", "--to", "fast", "--bandwidth", "200", "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fake guest `web` for the commands, in place of a daemon."""
    made = Stage(tmp_path)
    monkeypatch.setattr(Options, "mover", lambda _options: made.mover())
    return made


@pytest.mark.parametrize("command", ["move", "plan"])
def test_without_a_destination_nothing_is_done(capsys: pytest.CaptureFixture[str], stage: Stage, command: str) -> None:
    assert run([command, "web"]) == 2
    assert "--to POOL" in capsys.readouterr().err
    assert stage.world.marker is None


def test_a_disk_that_is_named_twice_is_a_usage_error(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["plan", "web", "--to", "fast", "--disk", "vda", "--disk", "vda"]) == 2
    assert "vda twice" in capsys.readouterr().err


# A whole command, with a guest that is a fake


def test_a_move_is_one_json_document_on_stdout_and_its_progress_is_on_stderr(
    capsys: pytest.CaptureFixture[str], stage: Stage
) -> None:
    assert run(["move", "web", "--to", "fast", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["state"], found["disks"][0]["verified"], found["error"]) == ("done", True, None)
    assert "copying" in printed.err
    assert stage.sources() == {"vda": False}


def test_a_move_is_told_as_a_table(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["move", "web", "--to", "fast", "--keep-source"]) == 0
    printed = capsys.readouterr().out
    assert "every byte" in printed
    assert stage.sources() == {"vda": True}


def test_a_plan_changes_nothing(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["plan", "web", "--to", "fast", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "planned"
    assert stage.mover().open_moves() == ()
    assert (stage.world.marker, stage.destinations()) == (None, {"vda": False})


def test_a_plan_says_from_when_on_the_guest_is_switched(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    words = ["plan", "web", "--to", "fast", "--at", "2100-01-01 22:00 Europe/Berlin"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = {"at": 4102520400.0, "zone": "Europe/Berlin", "local": "2100-01-01T22:00:00+01:00"}
    assert (found["cutover"], found["findings"][0]["code"]) == (expected, "cutover-waits")
    assert run(words) == 0
    assert "cutover from 2100-01-01 22:00 (Europe/Berlin) on" in capsys.readouterr().out.replace("\n", " ")
    assert run([*words, "--deadline", "2h", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["findings"][0]["code"] == "window-after-deadline"


@pytest.mark.parametrize("command", ["move", "plan"])
def test_a_refusal_exits_with_3_and_its_findings(
    capsys: pytest.CaptureFixture[str], stage: Stage, command: str
) -> None:
    assert run([command, "web", "--to", "fats", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], [one["code"] for one in found["findings"]]) == ("refused", ["no-such-pool"])


def test_an_unknown_domain_is_refused_with_the_nearest_names(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["move", "wbe", "--to", "fast"]) == 3
    assert "did you mean 'web'?" in capsys.readouterr().err


def test_what_fails_before_the_cutover_exits_with_4(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    stage.world.before["start_copy"] = refuse("no")
    assert run(["move", "web", "--to", "fast", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"]["guest_on"] == "source"


def test_a_held_move_exits_with_5_and_is_accepted_by_a_person(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    stage.world.before["begin_export"] = refuse("no")
    assert run(["move", "web", "--to", "fast", "--json"]) == 5
    move = json.loads(capsys.readouterr().out)["move"]
    assert run(["resume", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["move"] == move
    assert run(["accept", move, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "done"
    assert stage.sources() == {"vda": False}


def test_nobody_is_asked_where_nobody_can_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    stage.world.before["begin_export"] = refuse("no")
    assert run(["move", "web", "--to", "fast", "--json"]) == 5
    move = json.loads(capsys.readouterr().out)["move"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["accept", move]) != 0
    assert stage.sources() == {"vda": True}


def test_there_may_be_nothing_to_resume(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["resume"]) == 0
    assert "nothing to resume" in capsys.readouterr().out


# Help and version


@pytest.mark.parametrize(
    "arguments",
    [[], ["move"], ["plan"], ["resume"], ["accept"], ["tasks"], ["gc"], ["pools"], ["disks"], ["lab"], ["lab", "up"]],
)
def test_help_needs_no_daemon(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run([*arguments, "--help"]) == 0
    printed = capsys.readouterr()
    assert "Usage" in printed.out
    assert printed.err == ""


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from svmove import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"svmove {__version__}\n"


def _loaded(arguments: list[str], names: list[str]) -> set[str]:
    """Which of these modules a command has imported at its end."""
    snippet = (
        "import sys\nfrom svmove.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"print([code, [name for name in {names!r} if name in sys.modules]], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True, timeout=60)
    code, found = json.loads(done.stderr.strip().rpartition("\n")[2].replace("'", '"'))
    assert code == 0
    return set(found)


def test_help_imports_nothing_heavy() -> None:
    heavy = ["libvirt", "sqlalchemy", "lxml", "rich.progress", "svmove.virt.hypervisor", "svmove.mover"]
    assert _loaded(["--help"], heavy) == set()
    assert _loaded(["move", "--help"], heavy) == set()
    assert _loaded(["--help"], ["svmove.cli.main"]) == {"svmove.cli.main"}  # the question can be answered


# A daemon that is not there


@pytest.mark.parametrize(
    "arguments",
    [["move", "web", "--to", "fast"], ["plan", "web", "--to", "fast"], ["pools"], ["disks", "web"], ["resume", "m"]],
)
def test_a_daemon_that_is_not_there_exits_with_6_and_a_remedy(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["--connect", NOWHERE, *arguments]) == 6
    printed = capsys.readouterr()
    assert printed.out == ""
    assert NOWHERE in printed.err
    assert "--connect" in printed.err.splitlines()[-1] + printed.err.splitlines()[-2]


def test_with_json_that_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--connect", NOWHERE, "move", "web", "--to", "fast", "--json"]) == 6
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["state"], found["domain"], found["move"]) == (1, "refused", "web", None)
    assert found["error"]["code"] == "libvirt-unreachable"
    assert found["error"]["remedy"]
    assert (found["disks"], found["findings"]) == ([], [])


@pytest.mark.parametrize(("uri", "code"), [("qemu+ssh://127.0.0.1:1/system", 6), ("qemu+tcp://other/system", 2)])
def test_another_host_that_can_not_be_reached_is_told(capsys: pytest.CaptureFixture[str], uri: str, code: int) -> None:
    assert run(["--connect", uri, "plan", "web", "--to", "fast"]) == code
    assert "ssh" in capsys.readouterr().err


def test_a_journal_that_can_not_be_had_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = str(tmp_path / "file" / "journal.sqlite")
    assert run(["--journal", journal, "move", "web", "--to", "fast", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "journal"


# Exit codes


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (State.DONE, None, 0),
        (State.ALREADY_THERE, None, 0),
        (State.REFUSED, "no-space", 3),
        (State.ROLLED_BACK, "no-space", 4),
        (State.HELD, "mismatch", 5),
        (State.HELD, UnreachableError.code, 6),
        (State.ROLLED_BACK, "interrupted", 130),
        (State.HELD, "interrupted", 5),
    ],
)
def test_an_outcome_has_its_exit_code(state: State, code: str | None, expected: int) -> None:
    failure = None if code is None else Failure(code=code, text="x", guest_on=GuestOn.SOURCE)
    assert expected == exits.of_outcome(outcome(state=state, error=failure))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UsageError("x"), 2),
        (RefusedError("x"), 3),
        (NotFoundError("domain", "x"), 3),
        (JournalError("x"), 3),
        (HostError("x"), 3),
        (UnreachableError("x"), 6),
    ],
)
def test_an_error_before_the_start_has_its_exit_code(error: SvmoveError, expected: int) -> None:
    assert expected == exits.of_error(error)


# Completion


def context() -> Any:
    """What a completion function asks of typer's context."""
    root = SimpleNamespace(params={"connect": NOWHERE, "journal": None})
    return SimpleNamespace(find_root=lambda: root, params={"domain": "web"}, args=[])


@pytest.mark.parametrize(
    "function", [complete.domains, complete.pools, complete.all_pools, complete.disks, complete.moves]
)
def test_an_error_completes_to_nothing(capfd: pytest.CaptureFixture[str], function: Any) -> None:
    assert function(context(), "") == []
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize("error", [UnreachableError("x"), JournalError("x"), OSError("x")])
def test_only_what_begins_so_is_offered_and_errors_are_not(error: Exception) -> None:
    def fail(_options: Options) -> list[str]:
        raise error

    assert complete._matching(context(), "we", lambda _options: ["web", "db", "west"]) == ["web", "west"]
    assert complete._matching(context(), "we", fail) == []


def test_the_uri_comes_from_the_option_then_libvirt_s_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def uri(*connect: str) -> str:
        return Options(connect=connect, policy=None, journal=None, verbose=False).uri

    assert (uri("a:///"), uri()) == ("a:///", NOWHERE)
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI")
    assert uri() == "qemu:///system"


def test_the_script_itself_exits_with_the_code(tmp_path: Path) -> None:
    environment = {**os.environ, "LIBVIRT_DEFAULT_URI": NOWHERE, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "from svmove.cli.main import main; main()", "pools"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("svmove: can't connect")
