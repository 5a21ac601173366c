"""`evacuate`, `balance`, `place`, `sample`: on a fake guest, and on libvirt's test driver."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from bench import fleet as made_up
from svmove.affinity import AffinityPolicy, Pin
from svmove.cli import balance, evacuate
from svmove.cli.context import Options
from svmove.cli.main import run
from svmove.mover import Mover
from svmove.outcomes import Outcome
from svmove.placer import Placer
from svmove.policy import Policy
from svmove.requests import Request
from tests.builders import pool, request
from tests.fake import FakeClock, FakeHost, FakeHypervisor, refuse
from tests.move.stage import Stage


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No journal and no policy of the machine's."""
    for name in ("SVMOVE_CONNECT", "SVMOVE_POLICY", "SVMOVE_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fake guest `web` in pool `slow`, in place of a daemon."""
    made = Stage(tmp_path)

    def placer(_options: Options) -> Placer:
        world = made.world
        return Placer(FakeHypervisor(world), FakeHost(world), made.journal, made.policy, FakeClock(world))

    monkeypatch.setattr(Options, "placer", placer)
    return made


def test_an_evacuation_is_one_json_document(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    stage.world.make_file("/pools/slow/orphan.img")
    assert run(["evacuate", "slow", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pool"], found["to"]) == ("slow", ["fast"])
    assert [(one["volume"], one["code"]) for one in found["unmovable"]] == [("orphan.img", "no-guest")]
    (move,) = found["moves"]
    assert (move["guest"], move["target"], move["pool_to"], move["round"], move["why"]) == (
        "web",
        "vda",
        "fast",
        1,
        "evacuate",
    )
    assert found["estimate"]["bytes"] == move["copy_bytes"] > 0
    assert not found["emptying"]
    assert {one["pool"] for one in found["pools"]} == {"slow", "fast"}
    assert stage.mover().open_moves() == ()
    assert stage.destinations() == {"vda": False}


def test_an_evacuation_tells_first_what_stays(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    stage.world.make_file("/pools/slow/orphan.img")
    assert run(["evacuate", "slow", "--to", "fast", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.index("orphan.img") < said.index("web/vda")
    assert "1 disks" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["evacuate", "slwo", "--dry-run"], 3, "did you mean 'slow'?"),
        (["evacuate", "slow", "--to", "slow", "--dry-run"], 3, "emptied"),
        (["balance", "--pools", "fast,slwo"], 3, "did you mean 'slow'?"),
        (["place", "--size", "20"], 2, "'20'"),
        (["place", "--size", "20GiB", "--for", "wbe"], 3, "did you mean 'web'?"),
    ],
)
def test_what_has_no_meaning_is_told(
    capsys: pytest.CaptureFixture[str], stage: Stage, arguments: list[str], code: int, said: str
) -> None:
    assert run(arguments) == code
    assert said in capsys.readouterr().err


class _Here:
    """In place of processes: the moves are carried out here."""

    def __init__(self, _given: Options, mover: Mover) -> None:
        self._mover = mover

    def begin(self, request: Request) -> Outcome:
        return self._mover.begin(request)

    def start(self, move: str) -> None:
        self._mover.resume(move)

    def ended(self, move: str) -> Outcome | None:
        return self._mover.recorded(move)


@pytest.fixture
def here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(Options, "mover", lambda _options: stage.mover())
    for command in (balance, evacuate):
        monkeypatch.setattr(command, "Processes", _Here)
    return stage


def test_a_pool_is_emptied_and_stays_closed_until_that_is_ended(
    capsys: pytest.CaptureFixture[str], here: Stage
) -> None:
    assert run(["evacuate", "slow", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["state"], [one["domain"] for one in found["moved"]], found["failed"]) == ("empty", ["web"], [])
    assert found["emptying"]
    assert "web: vda → fast" in printed.err
    assert here.sources() == {"vda": False}
    assert run(["place", "--size", "1MiB", "--pools", "slow", "--json"]) == 3
    assert "emptied" in json.loads(capsys.readouterr().out)["refused"]["slow"]
    assert run(["evacuate", "slow", "--end", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "ended"
    assert run(["evacuate", "slow", "--end"]) == 0
    assert "was not" in capsys.readouterr().out
    assert run(["place", "--size", "1MiB", "--pools", "slow"]) == 0


def test_what_is_left_of_a_pool_is_told_by_the_exit_code(capsys: pytest.CaptureFixture[str], here: Stage) -> None:
    here.world.make_file("/pools/slow/orphan.img")
    here.world.before["start_copy"] = refuse("no")
    assert run(["evacuate", "slow"]) == 4
    said = capsys.readouterr().out
    assert "web: rolled-back" in said
    assert "orphan.img" in said
    here.world.before.clear()
    assert run(["evacuate", "slow", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["state"] == "left"


def test_a_held_move_is_told_by_the_exit_code(capsys: pytest.CaptureFixture[str], here: Stage) -> None:
    here.world.before["begin_export"] = refuse("no")
    assert run(["evacuate", "slow", "--json"]) == 5
    (failed,) = json.loads(capsys.readouterr().out)["failed"]
    assert failed["state"] == "held"


def test_a_ctrl_c_begins_nothing_more(
    capsys: pytest.CaptureFixture[str], here: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_self: _Here, _move: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_Here, "start", interrupted)
    assert run(["evacuate", "slow", "--json"]) == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out)["state"] == "interrupted"
    assert "svmove evacuate slow" in printed.err
    monkeypatch.undo()
    assert len(here.mover().open_moves()) == 1


def test_a_disk_whose_guest_is_being_moved_stays(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    stage.mover().begin(request())
    assert run(["evacuate", "slow", "--dry-run", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["unmovable"]
    assert one["code"] == "move-running"


def test_a_volume_without_a_place_exits_with_3(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["place", "--size", "1GiB", "--pools", "fast", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["volumes"] == [{"pool": "fast"}]
    assert run(["place", "--size", "900TiB", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["volumes"], set(found["refused"])) == ([{"pool": None}], {"fast", "slow"})
    assert run(["place", "--size", "900TiB"]) == 3
    assert "no pool has room" in capsys.readouterr().out


def pinned(stage: Stage, to: str) -> None:
    """What lies elsewhere is misplaced, and there is room for it."""
    stage.world.pools = {name: pool(name) for name in ("slow", "fast")}
    stage.policy = dataclasses.replace(Policy(), affinity=AffinityPolicy(pin=(Pin(guests=("web",), pools=(to,)),)))


def test_what_is_recommended_is_carried_out_when_it_is_agreed_to(
    capsys: pytest.CaptureFixture[str], here: Stage
) -> None:
    pinned(here, "fast")
    assert run(["balance", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["recommendations"]
    assert [(move["target"], move["pool_to"]) for move in one["moves"]] == [("vda", "fast")]
    assert here.sources() == {"vda": True}
    assert run(["balance", "--apply", "--yes", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["state"], [one["domain"] for one in found["moved"]], found["failed"]) == ("done", ["web"], [])
    assert (found["recommendations"], here.sources()) == ([], {"vda": False})
    assert "web: vda → fast" in printed.err
    # Nothing is closed, and nothing is left to do.
    assert run(["place", "--size", "1MiB", "--pools", "slow"]) == 0
    assert run(["balance", "--apply", "--yes"]) == 0
    assert "0 disks of 0 guests moved; done" in capsys.readouterr().out


def test_nothing_is_carried_out_that_nobody_agreed_to(capsys: pytest.CaptureFixture[str], here: Stage) -> None:
    pinned(here, "fast")
    assert run(["balance", "--apply"]) == 2
    assert run(["balance", "--apply", "--json"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert here.sources() == {"vda": True}


def test_a_recommendation_that_fails_is_told_by_the_exit_code(capsys: pytest.CaptureFixture[str], here: Stage) -> None:
    pinned(here, "fast")
    here.world.before["start_copy"] = refuse("no")
    assert run(["balance", "--apply", "--yes"]) == 4
    assert "web: rolled-back" in capsys.readouterr().out


def test_what_is_no_longer_recommended_is_left(
    capsys: pytest.CaptureFixture[str], here: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned(here, "fast")
    calls = iter(range(9))
    placer = Options.placer

    def changing(options: Options) -> Placer:
        if next(calls) == 2:  # it was looked at, and agreed to
            here.policy = Policy()
        return placer(options)

    monkeypatch.setattr(Options, "placer", changing)
    assert run(["balance", "--apply", "--yes"]) == 0
    assert "0 disks of 0 guests moved; done" in capsys.readouterr().out
    assert here.sources() == {"vda": True}


def test_samples_are_kept_and_give_pools_their_latency(capsys: pytest.CaptureFixture[str], stage: Stage) -> None:
    assert run(["balance", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sampled_seconds"] is None
    assert run(["sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["disks"] == 1
    stage.world.writes_at_once = 100
    stage.world.pass_time(60.0)
    assert run(["sample"]) == 0
    capsys.readouterr()
    assert run(["balance", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sampled_seconds"] == pytest.approx(60.0)
    assert {one["pool"]: one["latency"] for one in found["pools"]}["slow"] == pytest.approx(0.002)
    assert run(["balance"]) == 0
    assert "nothing to be gained" in capsys.readouterr().out


def test_old_samples_are_forgotten(stage: Stage) -> None:
    for _ in range(3):
        assert run(["sample"]) == 0
        stage.world.pass_time(50_000.0)
    assert len(stage.journal.samples.read("fake:///", 0.0)) == 2


def test_a_fleet_of_the_test_driver_is_emptied_and_balanced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    uri = made_up.write(tmp_path / "fleet.xml", 200)
    assert run(["--connect", uri, "evacuate", "p00", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["moves"]) > 80
    assert {one["code"] for one in found["unmovable"]} <= {"shareable"}
    policy = tmp_path / "policy.toml"
    policy.write_text("[balance]\nfill = 0.12\n[[affinity.pin]]\nmetadata = ['tier=gold']\npools = ['p0*']\n")
    assert run(["--connect", uri, "--policy", str(policy), "balance"]) == 0
    said = capsys.readouterr().out
    assert "rule: g" in said
    assert "pinned elsewhere by tier=gold" in said
