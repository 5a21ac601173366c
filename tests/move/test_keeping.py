"""Sources that are kept for a time, and what `gc` makes of them then."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from svmove.errors import RefusedError, UsageError
from svmove.move.leftovers import Leftover
from svmove.outcomes import State
from svmove.policy import After, CleanupPolicy, Policy
from svmove.requests import DiskRequest, Method
from tests.fake import CrashError
from tests.move.stage import Stage

WEEK = 7 * 86400.0
METHODS = [Method.MIRROR, Method.SNAPSHOT]


def moved(folder: Path, **asked: object) -> Stage:
    stage = Stage(folder)
    outcome = stage.move(**{"keep_for": WEEK, **asked})
    assert outcome.state is State.DONE
    assert [finding.code for finding in outcome.findings] == ["source-waits"]
    return stage


def source(stage: Stage) -> Leftover:
    (found,) = stage.mover().leftovers()
    return found


def later(stage: Stage) -> None:
    stage.world.writes = False
    stage.world.pass_time(WEEK + 1)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_there_until_its_time_is_over_and_goes_then(tmp_path: Path, method: Method) -> None:
    stage = moved(tmp_path, method=method)
    path = source(stage).path
    assert path in stage.world.files
    assert "its time is not over: 2023-11-21 " in (source(stage).kept or "")
    later(stage)
    assert source(stage).kept is None
    stage.mover().remove(source(stage))
    assert path not in stage.world.files
    assert stage.mover().leftovers() == ()
    stage.world.check_copies()


def restored(stage: Stage) -> None:
    """Somebody has given the guest an image from elsewhere."""
    drive = stage.world.drives["vda"]
    drive.path = "/pools/fast/from-a-backup.qcow2"
    drive.file = stage.world.make_file(drive.path)


def test_a_guest_that_svmove_has_moved_on_needs_it_no_more(tmp_path: Path) -> None:
    stage = moved(tmp_path)
    later(stage)
    assert stage.move(to="slow", disks=(DiskRequest(target="vda", name="again.qcow2"),)).state is State.DONE
    assert source(stage).kept is None


def test_what_has_changed_between_the_list_and_the_deletion_is_left(tmp_path: Path) -> None:
    stage = moved(tmp_path)
    later(stage)
    listed = source(stage)
    stage.world.files[listed.path].write(3, 99)
    with pytest.raises(RefusedError, match="not as it was"):
        stage.mover().remove(listed)
    assert listed.path in stage.world.files


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda stage: stage.world.files[source(stage).path].write(3, 99), "may have written to it"),
        (lambda stage: stage.world.files.pop(stage.world.drives["vda"].path), "all that is left"),
        (restored, "is not what svmove has brought it to"),
        (lambda stage: setattr(stage.world, "uuid", "another"), "is gone"),
        (lambda stage: stage.world.used_by.update({source(stage).path: "domain other"}), "domain other uses it"),
    ],
    ids=["written", "destination-gone", "restored", "guest-gone", "used"],
)
def test_what_has_changed_since_keeps_it(tmp_path: Path, harm: Callable[[Stage], object], says: str) -> None:
    stage = moved(tmp_path)
    later(stage)
    assert source(stage).kept is None
    harm(stage)
    assert says in (source(stage).kept or "")


def test_another_file_of_its_name_is_none_of_ours(tmp_path: Path) -> None:
    stage = moved(tmp_path)
    later(stage)
    stage.world.make_file(source(stage).path)
    assert stage.mover().leftovers() == ()


@pytest.mark.parametrize("call", ["delete_volume", "set_marker", "refresh_pool"])
def test_an_svmove_that_dies_at_the_end_keeps_it_as_long(tmp_path: Path, call: str) -> None:
    stage = Stage(tmp_path)
    plan = stage.plan(keep_for=WEEK)

    def die() -> None:
        if "/pools/fast/web-vda.qcow2" in [drive.path for drive in stage.world.drives.values()]:
            stage.world.before = {}
            stage.world.faults.strike("virt", call)

    stage.world.before[call] = die
    try:
        stage.run(plan)
    except CrashError:
        assert stage.resume(plan.move).state is State.DONE
    assert "its time is not over" in (source(stage).kept or "")


@pytest.mark.parametrize(
    ("policy", "asked", "left"),
    [
        (CleanupPolicy(), {}, False),
        (CleanupPolicy(source=After.KEEP), {}, True),
        (CleanupPolicy(source=After.KEEP), {"delete_source": True}, False),
        (CleanupPolicy(keep_for=WEEK), {}, True),
        (CleanupPolicy(keep_for=WEEK), {"delete_source": True}, False),
        (CleanupPolicy(keep_for=WEEK), {"keep_source": True}, True),
    ],
)
def test_the_policy_decides_where_nothing_is_said(
    tmp_path: Path, policy: CleanupPolicy, asked: dict[str, bool], left: bool
) -> None:
    stage = Stage(tmp_path, policy=replace(Policy(), cleanup=policy))
    old = stage.world.drives["vda"].path
    assert stage.move(**asked).state is State.DONE
    assert (old in stage.world.files) is left
    # What is kept for ever is a person's own, and no leftover.
    waits = policy.keep_for is not None and not asked
    assert [found.kept is not None for found in stage.mover().leftovers()] == [True] * waits


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contradict"):
        Stage(tmp_path).plan(keep_for=WEEK, keep_source=True)


def test_what_a_source_lies_on_waits_with_it_and_is_looked_at_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.lay_on_a_base("vda")
    stage.stop_guest()
    outcome = stage.move(flatten=True, keep_for=WEEK)
    assert (outcome.state, {finding.code for finding in outcome.findings}) == (State.DONE, {"source-waits"})
    assert {found.path.rpartition("/")[2] for found in stage.mover().leftovers()} == {
        "web-vda.qcow2",
        "base-vda.qcow2",
        "web-vdb.qcow2",
    }
    later(stage)
    assert [found.kept for found in stage.mover().leftovers()] == [None] * 3
    stage.world.files["/pools/slow/base-vda.qcow2"].write(2, 99)
    (kept,) = [found for found in stage.mover().leftovers() if found.kept is not None]
    assert (kept.path, "may have written" in (kept.kept or "")) == ("/pools/slow/base-vda.qcow2", True)
