"""A destination that is slow, or hangs: before anything is copied to it, and while it is."""

import re
from pathlib import Path
from typing import Any

import pytest

from svmove import location
from svmove.errors import HostError, SilentStorageError
from svmove.location import Protocol
from svmove.model import Pool
from svmove.move import context
from svmove.move.observe import Seen, observe
from svmove.move.phases import Phase
from svmove.moves import Level
from svmove.outcomes import Outcome, State
from svmove.policy import ConvergePolicy, Policy
from svmove.requests import DiskRequest, Method
from svmove.units import GiB, KiB, MiB
from tests.move.harm import assert_rolled_back
from tests.move.stage import Stage

SLOW = 1.5  # seconds a write
CEPH = "rbd://10.0.0.1/vms"
IMAGE = CEPH + "/web"


@pytest.mark.parametrize("method", [Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT])
def test_one_that_is_too_slow_is_given_up_before_anything_is_copied(tmp_path: Path, method: Method) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    stage.world.write_takes = SLOW
    outcome = stage.move(method=method)
    assert_rolled_back(stage, outcome, "never-ready")
    assert 30 <= stage.world.time < 35
    assert Phase.COPYING not in stage.phases(outcome.move)
    assert stage.world.options == []
    assert outcome.error is not None
    assert "a write of 64.0 KiB to /pools/fast takes 1.5 s (the best of 13 tries in 31.5 s)" in outcome.error.text
    assert "42.7 KiB/s, and 12.0 s for 512.0 KiB" in outcome.error.text


def test_one_that_was_slow_for_a_moment_costs_that_moment(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.write_takes = SLOW
    tries: list[float] = []

    def mend() -> None:
        tries.append(stage.world.time)
        stage.world.write_takes = SLOW if len(tries) < 3 else 0.0

    stage.world.before["probe"] = mend
    outcome = stage.move()
    assert (outcome.state, outcome.findings) == (State.DONE, ())
    assert len(tries) == 3
    assert tries[-1] - tries[0] < 6


def test_one_that_hung_for_a_minute_is_waited_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.hung_until = 60.0
    assert stage.move().state is State.DONE
    assert 60 <= stage.world.time < 70


def test_one_that_hangs_is_given_up_after_the_policys_time_and_can_be_left_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.hangs = True
    assert_rolled_back(stage, stage.move(), "destination-hangs")
    assert 120 <= stage.world.time < 125
    assert_rolled_back(stage, stage.move(deadline=10.0), "deadline-exceeded")
    assert stage.world.time < 140


def test_with_a_pause_that_is_long_enough_it_is_mirrored_in_small_pieces_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    stage.world.write_takes = SLOW
    outcome = stage.move(max_pause=10.0)
    assert outcome.state is State.DONE
    assert [finding.code for finding in outcome.findings] == ["slow-destination"]
    assert {made.buffer for made in stage.world.options} == {1 * MiB}


def test_one_that_takes_its_time_but_not_too_much_has_large_buffers(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.write_takes = 0.1
    assert (stage.move().state, stage.world.time < 5) == (State.DONE, True)
    assert {made.buffer for made in stage.world.options} == {16 * MiB}


@pytest.mark.parametrize("cluster", [64 * KiB, 2 * MiB])
def test_a_buffer_is_whole_clusters_of_the_destination_so_that_holes_stay(tmp_path: Path, cluster: int) -> None:
    stage = Stage(tmp_path)
    stage.world.cluster_bytes = cluster
    assert stage.move(bandwidth=33 * MiB + 1).state is State.DONE
    (made,) = stage.world.options
    assert made.buffer == int(3.3 * MiB) // cluster * cluster


def test_without_steps_a_slow_one_is_copied_to_for_as_long_as_it_takes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(converge=ConvergePolicy(steps=())))
    stage.world.write_takes = SLOW
    assert stage.move().state is State.DONE


def test_that_it_cannot_be_asked_ends_no_move(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def fail() -> None:
        raise HostError("no Python here")

    stage.world.before["probe"] = fail
    assert stage.move().state is State.DONE
    assert any("no Python here" in (told.text or "") for told in stage.told)


# While it is copied to.


def stalled(folder: Path) -> Stage:
    stage = Stage(folder)
    stage.world.per_tick = 0
    return stage


def test_one_that_takes_writes_and_none_of_the_copys_is_given_up_early(tmp_path: Path) -> None:
    stage = stalled(tmp_path)

    def slow_down() -> None:
        stage.world.write_takes = 7.0

    stage.world.before["start_copy"] = slow_down
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "never-ready")
    assert 45 <= stage.world.time < 55  # 30 s, two writes, and 5 s between them
    assert outcome.error is not None
    assert "though its storage answers: a write of 64.0 KiB takes 7.0 s" in outcome.error.text


def test_one_that_hangs_is_waited_for(tmp_path: Path) -> None:
    stage = stalled(tmp_path)

    def hang() -> None:
        stage.world.hangs = True

    stage.world.before["start_copy"] = hang
    assert_rolled_back(stage, stage.move(deadline=140.0), "deadline-exceeded")


def test_one_that_hangs_in_mid_copy_for_ever_is_given_up_after_the_policys_time(tmp_path: Path) -> None:
    stage = stalled(tmp_path)

    def hang() -> None:
        stage.world.hangs = True

    stage.world.before["start_copy"] = hang
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "destination-hangs")
    assert 30 + 120 <= stage.world.time < 170
    assert outcome.error is not None
    assert "nothing was copied to /pools/fast/web-vda.qcow2 for" in outcome.error.text
    assert "its storage does not answer (no answer in 5 s)" in outcome.error.text


def test_one_that_comes_back_after_a_minute_is_copied_to(tmp_path: Path) -> None:
    stage = stalled(tmp_path)

    def hang() -> None:
        stage.world.hung_until = 60.0

    def come_back() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None and stage.world.time > 63:  # what was in flight takes a moment
            mirror.per_tick = 2

    stage.world.before["start_copy"], stage.world.before["job"] = hang, come_back
    assert stage.move().state is State.DONE


def test_one_that_takes_little_time_after_time_is_given_up_with_the_figures(tmp_path: Path) -> None:
    stage = Stage(tmp_path, policy=Policy(converge=ConvergePolicy(standstill=1.0)))
    stage.world.per_tick = 0
    copied: list[float] = [0.0]

    def crawl() -> None:
        mirror = stage.world.drives["vda"].mirror
        if mirror is not None and stage.world.time > copied[-1] + 1.2:
            copied.append(stage.world.time)
            mirror.dirty.pop()  # and the guest makes it dirty again

    stage.world.before["job"] = crawl
    outcome = stage.move()
    assert_rolled_back(stage, outcome, "never-ready")
    assert 2 <= stage.world.time < 9  # two windows
    assert outcome.error is not None
    assert re.search(r"KiB were copied to /pools/fast/\S+ in \S+ s, \S+ KiB/s; \S+ KiB are left", outcome.error.text)


@pytest.mark.parametrize("mended", [False, True])
def test_while_a_ceph_hangs_qemu_is_not_asked_which_images_it_has_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mended: bool
) -> None:
    stage = stalled(tmp_path)
    monkeypatch.setattr(location, "protocol", lambda path: Protocol.RBD if "/fast/" in path else None)
    looked, since = 0, list[float]()

    def look(*args: Any, asks_qemu: bool, **kwargs: Any) -> Seen:
        nonlocal looked
        # It answered at the start, 2 s ago at the most.
        assert not (asks_qemu and stage.world.hangs and stage.world.time > since[0] + 2)
        looked += asks_qemu
        return observe(*args, asks_qemu=asks_qemu, **kwargs)

    def hang() -> None:
        stage.world.hangs = True
        since.append(stage.world.time)

    def mend() -> None:
        stage.world.hangs = not mended

    monkeypatch.setattr(context, "observe", look)
    stage.world.before["start_copy"], stage.world.before["cancel_copy"] = hang, mend
    outcome = stage.move()
    if mended:
        assert_rolled_back(stage, outcome, "destination-hangs")
    else:
        assert (outcome.state, outcome.error and outcome.error.code) == (State.HELD, "storage-silent")
        assert stage.mover().relieve(outcome.move or "")
        with pytest.raises(SilentStorageError, match="does not answer"):
            stage.mover().rollback(outcome.move or "")
        stage.world.hangs = False
        assert stage.mover().rollback(outcome.move or "").state is State.ROLLED_BACK
    assert looked > 2
    assert not any(stage.destinations().values())


def on_ceph(folder: Path) -> Stage:
    """The guest runs from an image in Ceph."""
    at = Stage(folder)
    at.world.pools["ceph"] = Pool(name="ceph", type="rbd", active=True, path=None, network=CEPH, available=GiB)
    drive = at.world.drives["vda"]
    at.world.files[IMAGE] = at.world.files.pop(drive.path)
    at.world.files[IMAGE].format = "raw"
    drive.path = drive.inactive = IMAGE
    return at


def leaves(at: Stage) -> Outcome:
    return at.move(to=None, disks=(DiskRequest(target="vda", pool="fast", name="web.img"),))


def test_a_source_whose_pool_is_full_is_left_as_it_is_before_the_start(tmp_path: Path) -> None:
    at = on_ceph(tmp_path)
    at.world.rooms[IMAGE] = 0
    assert [finding.code for finding in leaves(at).findings if finding.level is Level.REFUSE] == ["source-full"]
    assert at.world.options == [], "no copy was begun"
    at.world.rooms[IMAGE] = 1
    assert leaves(at).state is State.DONE


def test_one_that_gets_full_before_the_copy_has_none_begun(tmp_path: Path) -> None:
    at = on_ceph(tmp_path)
    at.world.before["create_volume"] = lambda: at.world.rooms.update({IMAGE: -1})
    outcome = leaves(at)
    assert (outcome.state, outcome.error and outcome.error.code) == (State.ROLLED_BACK, "source-full")
    assert at.world.options == []
    at.world.check_copies()
