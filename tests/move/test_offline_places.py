"""Method `offline` where there is no lock: a start is seen, and what nobody watched over is compared again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HypervisorError
from svmove.journal import Kind
from svmove.location import Secret, SecretState
from svmove.model import DomainState, Pool
from svmove.move import bring
from svmove.outcomes import Outcome, State
from svmove.requests import DiskRequest, Verify
from svmove.units import GiB
from tests.fake import BLOCK, BLOCKS, CrashError, Faults
from tests.move.harm import at_call, once
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")

SAN, CEPH = "iscsi://10.0.0.5/iqn.2026-11.org:san", "rbd://10.0.0.1/vms"
LUN, IMAGE = SAN + "/1", CEPH + "/web"
FILE = "/pools/fast/web.img"
KEY = Secret(usage="key")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return off(tmp_path)


def off(folder: Path, *targets: str) -> Stage:
    made = Stage(folder, *targets)
    made.world.pools |= {
        "san": Pool(name="san", type="iscsi-direct", active=True, path=None, network=SAN, available=50 * GiB),
        "ceph": Pool(name="ceph", type="rbd", active=True, path=None, network=CEPH, available=50 * GiB),
    }
    made.stop_guest()
    return made


def lies_at(stage: Stage, path: str) -> Stage:
    """The guest's disk does, not in a file."""
    world, drive = stage.world, stage.world.drives["vda"]
    world.files[path] = world.files.pop(drive.path)
    world.files[path].format = "raw"
    drive.path = drive.inactive = path
    return stage


def goes(stage: Stage, pool: str, name: str, *, overwrite: bool = False, verify: Verify | None = None) -> Outcome:
    disk = DiskRequest(target="vda", pool=pool, name=name)
    return stage.move(to=None, disks=(disk,), overwrite=overwrite, verify=verify)


def home(stage: Stage) -> Outcome:
    return goes(stage, "fast", "web.img")


def with_a_lun(stage: Stage) -> None:
    """That has something in it."""
    lun = stage.world.make_file(LUN)
    lun.blocks, lun.format = [99] * BLOCKS, "raw"


def sound(stage: Stage, outcome: Outcome, state: State) -> None:
    """Nothing is lost, left or locked; the guest starts from what its XML names, and writes."""
    assert outcome.state is state, outcome.error
    world = stage.world
    world.faults = Faults()
    world.check_copies()
    assert world.locked == set()
    assert state is State.HELD or world.marker is None
    if world.state.value == "off":
        world.start_guest()
    world.pass_time(1.0)
    world.check_copies()


def ran(stage: Stage) -> None:
    """Started from what its XML names, it has written, and is off again."""
    stage.world.start_guest()
    stage.world.pass_time(1.0)
    stage.world.stop_guest()


def test_a_disk_goes_into_a_lun_and_what_was_there_is_zeros_where_the_disk_has_some(stage: Stage) -> None:
    with_a_lun(stage)
    drive = stage.world.drives["vda"]
    drive.file.blocks[2] = drive.truth[2] = 0
    outcome = goes(stage, "san", "unit:0:0:1", overwrite=True)
    assert (outcome.disks[0].verified, stage.world.files[LUN].blocks) == (True, drive.truth)
    assert stage.world.sliced == {}
    assert stage.sources() == {"vda": False}
    sound(stage, outcome, State.DONE)


def test_a_larger_lun_is_cut_in_the_xml_there_and_on_the_way_back(stage: Stage) -> None:
    with_a_lun(stage)
    stage.world.larger[LUN] = (BLOCKS + 1) * BLOCK
    outcome = goes(stage, "san", "unit:0:0:1", overwrite=True)
    assert stage.world.sliced == {LUN: BLOCKS * BLOCK}
    sound(stage, outcome, State.DONE)


def test_an_image_is_made_for_it_and_is_deleted_when_it_is_left(stage: Stage) -> None:
    outcome = goes(stage, "ceph", "web")
    assert stage.world.drives["vda"].inactive == IMAGE
    assert stage.sources() == {"vda": False}
    assert home(stage).state is State.DONE
    assert IMAGE not in stage.world.files
    sound(stage, outcome, State.DONE)


def test_a_lun_that_is_left_stays(stage: Stage) -> None:
    outcome = home(lies_at(stage, LUN))
    assert LUN in stage.world.files
    assert stage.record(outcome.move).last(Kind.FACT, "watch") is not None
    sound(stage, outcome, State.DONE)


def test_a_guest_of_files_needs_no_watch(stage: Stage) -> None:
    assert stage.record(home(stage).move).last(Kind.FACT, "watch") is None


def failed(stage: Stage, outcome: Outcome, code: str, path: str = LUN) -> None:
    """Taken back: the guest has its source, which has all, and no copy is left."""
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.ROLLED_BACK, code)
    assert stage.world.drives["vda"].inactive == path
    assert FILE not in stage.world.files
    sound(stage, outcome, State.ROLLED_BACK)


@pytest.mark.parametrize("call", ["copy_image", "compare_local"])
@pytest.mark.parametrize("runs", [True, False])
def test_a_start_in_mid_copy_takes_it_back_also_when_the_guest_is_off_again(
    stage: Stage, call: str, runs: bool
) -> None:
    lies_at(stage, LUN)
    stage.world.before[call] = once(stage.world.start_guest if runs else lambda: ran(stage))
    failed(stage, home(stage), "guest-started")


def test_a_start_that_is_under_way_at_the_last_look_before_the_xml_is_written_is_no_less_a_start(stage: Stage) -> None:
    """It is waited for until it has ended; what the guest wrote until then is not in the copy."""
    world = lies_at(stage, LUN).world

    def last_look() -> None:
        if "compare_local" in world.faults.calls and world.state is DomainState.OFF and not ran_once:
            ran_once.append(True)
            world.start_guest()
            world.pass_time(1.0)
            world.before["process"] = at_call(4, world.stop_guest)

    ran_once = list[bool]()
    world.before["process"] = last_look
    failed(stage, home(stage), "guest-started")
    assert ran_once


@pytest.mark.parametrize("runs", [True, False])
def test_a_start_for_which_the_xml_can_t_be_written_takes_it_back(stage: Stage, runs: bool) -> None:
    world = lies_at(stage, LUN).world

    def start() -> None:
        if runs:
            world.start_guest()
            world.pass_time(1.0)
        else:
            ran(stage)
        raise HypervisorError("the domain was started or stopped meanwhile")

    world.before["set_sources"] = once(start)
    failed(stage, home(stage), "guest-started")


def test_a_start_at_the_very_moment_at_which_the_xml_is_written_is_taken_back(stage: Stage) -> None:
    """libvirt had read the old XML: the guest runs on its source, and its next start would be from the copy."""
    world = lies_at(stage, LUN).world

    def start() -> None:
        drive = world.drives["vda"]
        drive.inactive = LUN
        world.start_guest()
        drive.inactive = FILE
        world.pass_time(1.0)

    world.before["set_sources"] = once(start)
    outcome = home(stage)
    assert outcome.error is not None
    assert outcome.error.code == "guest-started"
    assert world.drives["vda"].inactive == LUN
    sound(stage, outcome, State.ROLLED_BACK)


@pytest.mark.parametrize("call", ["copy_image", "compare_local", "set_sources"])
def test_what_was_copied_and_compared_before_a_death_is_compared_again(stage: Stage, call: str) -> None:
    lies_at(stage, LUN)
    move = killed_at(stage, call)
    outcome = stage.resume(move)
    assert len(stage.record(move).all(Kind.FACT, "watch")) == 2
    sound(stage, outcome, State.DONE)


def test_what_a_guest_wrote_into_a_part_that_was_copied_already_stays_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bring, "_RECORD", 0.5)  # each block takes a second
    drive = lies_at(stage, LUN).world.drives["vda"]
    stage.world.before["write"] = lambda: die(stage) if stage.world.time > 2.5 else None
    with pytest.raises(CrashError):
        home(stage)
    alive(stage)
    (move,) = stage.mover().open_moves()
    drive.file.write(0, 99)
    drive.truth[0] = 99
    outcome = stage.resume(move)
    assert [entry.data["begin"] for entry in stage.record(move).all(Kind.INTENT, "copy-layer")] == [0, 2 * BLOCK]
    failed(stage, outcome, "source-changed")


def test_files_beside_it_have_their_lock_and_their_stamp_and_are_not_compared_again(tmp_path: Path) -> None:
    stage = lies_at(off(tmp_path, "vda", "vdb"), LUN)
    stage.world.lay_on_a_base("vdb")
    stage.world.before["set_sources"] = once(lambda: die(stage))
    with pytest.raises(CrashError):
        stage.move()
    alive(stage)
    (move,) = stage.mover().open_moves()
    outcome = stage.resume(move)
    compared = [entry.target for entry in stage.record(move).all(Kind.INTENT, "prove")]
    assert sorted(map(str, compared)) == ["vda", "vda", "vdb", "vdb:1"]
    sound(stage, outcome, State.DONE)


@pytest.mark.parametrize("call", ["compare_local", "set_sources"])
def test_a_guest_that_ran_while_nobody_watched_keeps_what_it_wrote(stage: Stage, call: str) -> None:
    lies_at(stage, LUN)
    move = killed_at(stage, call)
    ran(stage)
    failed(stage, stage.resume(move), "source-changed")


@pytest.mark.parametrize("call", ["copy_image", "set_sources"])
def test_without_a_comparison_all_is_copied_again_after_a_death(stage: Stage, call: str) -> None:
    lies_at(stage, LUN)
    stage.world.before[call] = once(lambda: die(stage))
    with pytest.raises(CrashError):
        goes(stage, "fast", "web.img", verify=Verify.NONE)
    alive(stage)
    (move,) = stage.mover().open_moves()
    ran(stage)
    outcome = stage.resume(move)
    assert [entry.data["begin"] for entry in stage.record(move).all(Kind.INTENT, "copy-layer")] == [0, 0]
    sound(stage, outcome, State.DONE)


def killed_at(stage: Stage, call: str) -> str:
    stage.world.before[call] = once(lambda: die(stage))
    with pytest.raises(CrashError):
        home(stage)
    alive(stage)
    (move,) = stage.mover().open_moves()
    return move


def die(stage: Stage) -> None:
    stage.world.faults.dead = True
    raise CrashError("killed")


def alive(stage: Stage) -> None:
    stage.world.faults = Faults()
    stage.world.before.clear()


def test_a_source_is_kept_when_nobody_saw_from_what_the_guest_started_last(stage: Stage) -> None:
    """svmove died when the XML had just been written; the guest runs on its copy now, and may have run before."""
    world = lies_at(stage, IMAGE).world
    move = after_the_xml(stage)
    world.start_guest()
    outcome = stage.resume(move)
    assert IMAGE in world.files
    (finding,) = outcome.findings
    assert (finding.code, "nobody saw" in finding.text) == ("source-kept", True)
    sound(stage, outcome, State.DONE)
    leftovers = stage.mover().leftovers()
    assert [one.path for one in leftovers if one.kept is None] == []


def test_a_guest_that_may_have_run_on_either_copy_is_held(stage: Stage) -> None:
    lies_at(stage, IMAGE)
    move = after_the_xml(stage)
    ran(stage)
    outcome = stage.resume(move)
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.HELD, "unclear")
    assert {IMAGE, FILE} <= set(stage.world.files)
    sound(stage, outcome, State.HELD)


def test_a_guest_that_stayed_off_is_compared_once_more_and_its_source_goes(stage: Stage) -> None:
    lies_at(stage, IMAGE)
    outcome = stage.resume(after_the_xml(stage))
    assert IMAGE not in stage.world.files
    sound(stage, outcome, State.DONE)


def after_the_xml(stage: Stage) -> str:
    """The move whose svmove died when the XML named the copy."""
    calls = stage.world.faults.calls

    def look() -> None:
        if "set_sources" in calls:
            die(stage)

    stage.world.before["process"] = look
    with pytest.raises(CrashError):
        home(stage)
    alive(stage)
    (move,) = stage.mover().open_moves()
    return move


def test_an_error_of_libvirt_at_a_look_is_no_proof_of_anything(stage: Stage) -> None:
    lies_at(stage, LUN)

    def refuse() -> None:
        raise HypervisorError("unsupported configuration")

    stage.world.before["set_sources"] = refuse
    failed(stage, home(stage), "redefine-failed")


# Keys


def test_an_encrypted_disk_arrives_with_the_key_that_was_asked_for(tmp_path: Path) -> None:
    other = Secret(usage="other")
    ways: list[tuple[Secret | None, dict[str, Any], Secret | None]] = [
        (KEY, {}, KEY),
        (KEY, {"encrypt": other}, other),
        (KEY, {"decrypt": True}, None),
        (None, {"encrypt": KEY}, KEY),
    ]
    for number, (has, asked, gets) in enumerate(ways):
        (tmp_path / str(number)).mkdir()
        stage = off(tmp_path / str(number))
        stage.world.drives["vda"].file.luks = has
        stage.world.secrets = {KEY: SecretState.READABLE, other: SecretState.READABLE}
        outcome = stage.move(**asked)
        made = stage.world.files["/pools/fast/web-vda.qcow2"]
        assert (outcome.disks[0].verified, made.luks) == (True, gets)
        sound(stage, outcome, State.DONE)


# At every call


def swept(folder: Path, path: str, between: Callable[[Stage], None]) -> list[State]:
    """svmove is killed at each call in turn; then that happens; then it is resumed."""
    found: list[State] = []
    number = 0
    while True:
        number += 1
        (folder / str(number)).mkdir()
        stage = lies_at(off(folder / str(number)), path)
        stage.world.faults = Faults(at=number, after_effect=number % 2 == 0)
        try:
            home(stage)
        except CrashError:
            pass
        else:
            return found
        alive(stage)
        between(stage)
        moves = stage.mover().open_moves()
        for move in moves:
            outcome = stage.resume(move)
            found.append(outcome.state)
            if stage.world.state.value != "off":
                stage.world.pass_time(1.0)
            sound(stage, outcome, outcome.state)


def test_svmove_is_killed_anywhere_and_resumed(tmp_path: Path) -> None:
    found = swept(tmp_path, LUN, lambda _stage: None)
    assert set(found) == {State.DONE}
    assert len(found) > 50


def test_svmove_is_killed_anywhere_and_the_guest_runs_until_it_is_resumed(tmp_path: Path) -> None:
    found = swept(tmp_path, IMAGE, ran)
    assert set(found) == {State.DONE, State.ROLLED_BACK, State.HELD}
