"""The collection's decisions on the documents that svmove really prints: its command line, on the fake world."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from svmove.campaign import Workers
from svmove.cli import evacuate, guard
from svmove.cli.context import Options
from svmove.cli.main import run
from svmove.outcomes import Outcome
from svmove.placer import Placer
from svmove.requests import Request
from tests.fake import CrashError, FakeClock, FakeHost, FakeHypervisor, Faults, refuse
from tests.move.stage import Stage

_PLUGINS = Path(__file__).parents[2] / "ansible" / "plugins"
COMMON = {"executable": "svmove", "uri": "fake:///"}
WANTED = {**COMMON, "domain": "web", "to": "fast", "disks": [], "wait": True, "resume": True}
POOL = {**COMMON, "pool": "slow", "to": [], "parallel": 2, "allow_unmovable": False, "state": "empty"}

Run = Callable[[list[str], dict[str, str]], tuple[int, str, str]]


class Here(Workers):
    """In place of processes: each move is carried out when it is started."""

    def __init__(self, _given: Options, mover: Any) -> None:
        self._mover = mover

    def begin(self, request: Request) -> Outcome:
        found: Outcome = self._mover.begin(request)
        return found

    def start(self, move: str) -> None:
        self._mover.resume(move)

    def ended(self, move: str) -> Outcome | None:
        found: Outcome = self._mover.recorded(move)
        return found


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    made = Stage(tmp_path, "vda", "vdb")

    def placer(_options: Options) -> Placer:
        hypervisor, host = FakeHypervisor(made.world), FakeHost(made.world)
        return Placer(hypervisor, host, made.journal, made.policy, FakeClock(made.world))

    monkeypatch.setattr(guard, "post", lambda *_acts: lambda _move: None)
    monkeypatch.setattr(evacuate, "Processes", Here)
    monkeypatch.setattr(Options, "mover", lambda _options: made.mover())
    monkeypatch.setattr(Options, "placer", placer)
    monkeypatch.setattr(Options, "open_journal", lambda _options: made.journal)
    return made


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A file of the collection's module_utils, which needs nothing of Ansible."""
    monkeypatch.syspath_prepend(str(_PLUGINS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "module_utils"]:
        monkeypatch.delitem(sys.modules, name)
    return lambda name: importlib.import_module(f"module_utils.{name}")


@pytest.fixture
def svmove(part: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> Any:
    def here(argv: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        assert (argv[0], environment) == ("svmove", {"SVMOVE_CONNECT": "fake:///"})
        capsys.readouterr()
        code = run(argv[1:])
        return code, *capsys.readouterr()

    return part("cli").Svmove(here, COMMON)


@pytest.fixture
def moving(part: Callable[[str], ModuleType], svmove: Any, stage: Stage) -> Callable[..., dict[str, Any]]:
    def go(*, check: bool = False, **params: Any) -> dict[str, Any]:
        try:
            found: dict[str, Any] = part("moving").Moving(svmove, {**WANTED, **params}, check).run()
        except part("cli").SvmoveError as error:
            told: dict[str, Any] = error.as_result()
            return told
        return found

    return go


def left(stage: Stage, call: str) -> str:
    """A move whose svmove died there."""
    plan = stage.plan()

    def die() -> None:
        stage.world.faults.dead = True

    stage.world.before[call] = die
    with pytest.raises(CrashError):
        stage.run(plan)
    stage.world.before, stage.world.faults = {}, Faults()
    return plan.move


def test_a_guest_is_moved_once(moving: Callable[..., dict[str, Any]], stage: Stage) -> None:
    asked = moving(check=True)
    assert (asked["changed"], asked["state"]) == (True, "planned")
    assert asked["diff"]["before"]["vda"] == {"source": "/pools/slow/web-vda.qcow2", "pool": "slow", "format": "qcow2"}
    assert stage.destinations() == {"vda": False, "vdb": False}
    done = moving()
    assert (done["changed"], done["state"], done["disks"][0]["verified"]) == (True, "done", True)
    again = moving()
    assert (again["changed"], again["state"]) == (False, "already-there")


def test_a_refusal_has_its_code_in_check_mode_and_without(moving: Callable[..., dict[str, Any]]) -> None:
    for check in (True, False):
        told = moving(check=check, to="fsat")
        assert (told["code"], told["remedy"], told["changed"]) == ("no-such-pool", "did you mean fast?", False)
    assert moving(domain="wbe")["code"] == "no-such-domain"


# Before the domain has its marker only the journal knows of the move; when copying, or after the switch, both do.
@pytest.mark.parametrize("call", ["set_marker", "job", "begin_export"])
def test_a_move_that_was_left_anywhere_is_taken_up_and_is_the_only_one(
    moving: Callable[..., dict[str, Any]], stage: Stage, call: str
) -> None:
    move = left(stage, call)
    assert moving(check=True)["resumed"] == [move]
    assert moving(resume=False)["code"] == "unfinished"
    done = moving()
    assert (done["changed"], done["state"], done["move"], done["resumed"]) == (True, "done", move, [move])
    assert [task.move for task in stage.mover().tasks(ended=True)] == [move]


def test_a_move_that_is_held_is_left_to_a_person(moving: Callable[..., dict[str, Any]], stage: Stage) -> None:
    stage.world.before["begin_export"] = refuse("no backup")
    told = moving()
    assert (told["code"], told["state"], told["guest_on"], told["changed"]) == (
        "unverified",
        "held",
        "destination",
        True,
    )
    stage.world.before = {}
    again = moving()
    assert (again["code"], again["state"], again["move"], again["changed"]) == (
        "unverified",
        "held",
        told["move"],
        False,
    )


def test_a_pool_is_emptied_once_and_opened_once(part: Callable[[str], ModuleType], svmove: Any, stage: Stage) -> None:
    def go(*, check: bool = False, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = part("evacuating").Evacuating(svmove, {**POOL, **params}, check).run()
        return found

    asked = go(check=True)
    assert (asked["changed"], asked["diff"]["after"]) == (True, {"web/vda": "fast", "web/vdb": "fast"})
    done = go()
    assert (done["changed"], done["state"], [one["domain"] for one in done["moved"]]) == (True, "empty", ["web"])
    assert go()["changed"] is False
    opened = [go(state="open", check=check)["changed"] for check in (True, False, False)]
    assert opened == [True, True, False]
    stage.world.make_file("/pools/slow/orphan.img")
    with pytest.raises(part("cli").SvmoveError) as caught:
        go()
    assert caught.value.code == "unmovable"
