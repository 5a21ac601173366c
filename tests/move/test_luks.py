"""A move of an encrypted disk: whoever walks it knows its keys, and no file is read or started from without its own."""

from contextlib import suppress
from pathlib import Path

import pytest

from svmove.errors import SvmoveError
from svmove.location import Secret, SecretState
from svmove.move.phases import Phase
from svmove.outcomes import State
from tests.fake import CrashError, Faults
from tests.move.stage import Stage

SOURCE = "/pools/slow/web-vda.qcow2"
MADE = "/pools/fast/web-vda.qcow2"
ONE, TWO = Secret(usage="one"), Secret(usage="two")
WAYS = {
    "as it is": (ONE, {}, ONE),
    "another key": (ONE, {"encrypt": TWO}, TWO),
    "plain": (ONE, {"decrypt": True}, None),
    "into it": (None, {"encrypt": TWO}, TWO),
}


def stage(folder: Path, key: Secret | None) -> Stage:
    made = Stage(folder)
    made.world.files[SOURCE].luks = key
    made.world.secrets = {ONE: SecretState.READABLE, TWO: SecretState.READABLE}
    return made


@pytest.mark.parametrize(("key", "asked", "arrives"), WAYS.values(), ids=WAYS)
def test_a_disk_arrives_with_the_key_that_was_asked_for(
    tmp_path: Path, key: Secret | None, asked: dict[str, object], arrives: Secret | None
) -> None:
    at = stage(tmp_path, key)
    outcome = at.move(**asked)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True)
    assert outcome.move is not None
    assert at.world.files[MADE].luks == arrives
    at.check(outcome.move)


@pytest.mark.parametrize("call", ["create_volume", "start_copy", "request_pivot", "compare", "delete_volume"])
def test_whoever_resumes_it_knows_the_keys(tmp_path: Path, call: str) -> None:
    at = stage(tmp_path, ONE)
    plan = at.plan(encrypt=TWO)
    at.world.before[call] = lambda: setattr(at.world.faults, "dead", True)
    with pytest.raises(CrashError):
        at.run(plan)
    at.world.before = {}
    at.world.faults = Faults()
    with suppress(SvmoveError):
        at.resume(plan.move)
    assert at.check(plan.move) is Phase.DONE


def test_a_key_that_was_changed_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    at = stage(tmp_path, ONE)
    at.world.rekeyed.add(SOURCE)
    outcome = at.move()
    assert [finding.code for finding in outcome.findings if finding.level == "refuse"] == ["wrong-key"]
    assert MADE not in at.world.files


def test_one_that_went_plain_goes_back_into_its_own_key(tmp_path: Path) -> None:
    at = stage(tmp_path, ONE)

    def differ() -> None:
        at.world.files[SOURCE].blocks[0] = -1

    at.world.before["compare"] = differ
    outcome = at.move(decrypt=True)
    assert outcome.state is State.HELD
    assert outcome.move is not None
    at.world.before = {}
    back = at.mover().rollback(outcome.move)
    assert back.state is State.DONE
    assert at.world.drives["vda"].file.luks == ONE
