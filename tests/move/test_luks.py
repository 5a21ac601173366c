"""A move of an encrypted disk: whoever walks it knows its keys, and no file is read or started from without its own."""

from contextlib import suppress
from pathlib import Path

import pytest

from svmove.errors import SvmoveError
from svmove.journal import Kind
from svmove.location import Secret, SecretState
from svmove.model import Pool
from svmove.move.phases import Phase
from svmove.outcomes import State
from svmove.requests import DiskRequest, Format
from svmove.units import GiB
from tests.fake import CrashError, Faults, refuse
from tests.move.stage import Stage

SOURCE = "/pools/slow/web-vda.qcow2"
MADE = "/pools/fast/web-vda.qcow2"
CEPH = "rbd://10.0.0.1/vms"
IMAGE = CEPH + "/web"
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


def to_ceph(at: Stage) -> DiskRequest:
    pool = Pool(name="ceph", type="rbd", active=True, path=None, network=CEPH, available=50 * GiB)
    at.world.pools["ceph"] = pool
    return DiskRequest(target="vda", pool="ceph", name="web", encrypt=TWO, format=Format.RAW)


def ended(at: Stage, move: str) -> Phase:
    """Where the move has ended: the guest has all that it wrote, and no marker."""
    record = at.record(move)
    at.world.check_copies()
    assert at.world.marker is None
    assert (IMAGE in at.world.files) == (record.phase == Phase.DONE or bool(record.all(Kind.FACT, "destination-kept")))
    return Phase(record.phase)


@pytest.mark.parametrize("key", [None, ONE, TWO])
def test_what_is_no_file_is_encrypted_by_the_move(tmp_path: Path, key: Secret | None) -> None:
    at = stage(tmp_path, key)
    outcome = at.move(to=None, disks=(to_ceph(at),))
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
    assert at.world.files[IMAGE].luks == TWO
    ended(at, outcome.move or "")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_header_that_may_be_half_written_is_written_anew_and_one_that_is_whole_is_not(
    tmp_path: Path, when: str
) -> None:
    at = stage(tmp_path, ONE)
    plan = at.plan(to=None, disks=(to_ceph(at),))
    call = "write_header" if when == "before" else "start_copy"
    at.world.before[call] = lambda: setattr(at.world.faults, "dead", True)
    with pytest.raises(CrashError):
        at.run(plan)
    at.world.before, at.world.faults = {}, Faults()
    with suppress(SvmoveError):
        at.resume(plan.move)
    assert ended(at, plan.move) is Phase.DONE
    record = at.record(plan.move)
    assert len(record.all(Kind.INTENT, "encrypt")) == (2 if when == "before" else 1)
    assert len(record.all(Kind.FACT, "encrypted")) == 1


def test_of_a_header_that_can_not_be_written_nothing_is_left(tmp_path: Path) -> None:
    at = stage(tmp_path, ONE)
    disk = to_ceph(at)
    at.world.before["write_header"] = refuse("no space left")
    outcome = at.move(to=None, disks=(disk,))
    assert outcome.state is State.ROLLED_BACK
    assert IMAGE not in at.world.files
    ended(at, outcome.move or "")


def test_a_volume_that_somebody_has_put_to_use_meanwhile_is_not_encrypted(tmp_path: Path) -> None:
    at = stage(tmp_path, ONE)
    plan = at.plan(to=None, disks=(to_ceph(at),))
    at.world.before["write_header"] = lambda: setattr(at.world.faults, "dead", True)
    with pytest.raises(CrashError):
        at.run(plan)
    at.world.before, at.world.faults = {}, Faults()
    at.world.used_by[IMAGE] = "domain db"
    with suppress(SvmoveError):
        at.resume(plan.move)
    assert ended(at, plan.move) is Phase.ROLLED_BACK
    assert len(at.record(plan.move).all(Kind.INTENT, "encrypt")) == 1
    assert IMAGE in at.world.files


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
