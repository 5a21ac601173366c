"""A volume that is there already, and is to become a destination: looked at once more before it is overwritten."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from svmove.errors import CopyError
from svmove.journal import Record
from svmove.move.outcome import of_record
from svmove.move.prepare import take
from svmove.outcomes import State
from svmove.units import GiB
from svmove.volumes import Taken, VolumeSpec
from tests.fake import refuse
from tests.move.stage import Stage

LUN = "iscsi://10.0.0.5/iqn.2026-11.org:san/1"


def a_move(there: Taken | None) -> Any:
    written: list[str] = []
    host = SimpleNamespace(identity=lambda path: path if there else None, taken=lambda _path: there)
    hypervisor = SimpleNamespace(paths_in_use=lambda **_: {}, inactive_images=lambda **_: ())
    return SimpleNamespace(
        world=SimpleNamespace(host=host, hypervisor=hypervisor),
        plan=SimpleNamespace(uuid="u", disks=()),
        written=written,
        intend=lambda what, *_, **__: written.append(what),
        note=lambda what, *_, **__: written.append(what),
    )


def spec(*, overwrite: bool = False) -> VolumeSpec:
    return VolumeSpec(
        pool="san", name="unit:0:0:1", path=LUN, format="raw", capacity=GiB, taken=True, overwrite=overwrite
    )


@pytest.mark.parametrize("there", [None, Taken(size=GiB, blank=False)])
def test_one_that_is_gone_or_was_written_to_since_the_plan_is_not_taken(there: Taken | None) -> None:
    move = a_move(there)
    with pytest.raises(CopyError) as caught:
        take(cast(Any, move), "vda", spec())
    assert caught.value.reason == "changed"
    assert move.written == []


@pytest.mark.parametrize(("blank", "overwrite"), [(True, False), (False, True)])
def test_one_that_is_blank_or_given_up_is_taken_and_the_intention_comes_first(blank: bool, overwrite: bool) -> None:
    move = a_move(Taken(size=GiB, blank=blank))
    take(cast(Any, move), "vda", spec(overwrite=overwrite))
    assert move.written == ["take", "created"]


def rolled_back(folder: Path, call: str) -> Record:
    """Of a move that failed at that call."""
    stage = Stage(folder)
    stage.world.before[call] = refuse("no")
    return stage.record(stage.move().move)


@pytest.mark.parametrize(
    ("call", "taken", "told"),
    [("start_copy", True, True), ("suspend", True, True), ("suspend", False, False), ("set_marker", True, False)],
)
def test_one_that_was_written_to_and_left_again_is_told_to_be_overwritten(
    tmp_path: Path, call: str, taken: bool, told: bool
) -> None:
    record = rolled_back(tmp_path, call)
    (disk,) = record.plan.disks
    disk = replace(disk, destination=replace(disk.destination, taken=taken))
    outcome = of_record(replace(record, plan=replace(record.plan, disks=(disk,))))
    assert outcome.state is State.ROLLED_BACK
    assert outcome.disks[0].overwritten is told
    assert ("overwritten" in [finding.code for finding in outcome.findings]) is told


def test_one_that_the_guest_is_on_is_not_told_to_be_overwritten(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    record = stage.record(stage.move().move)
    (disk,) = record.plan.disks
    disk = replace(disk, destination=replace(disk.destination, taken=True))
    outcome = of_record(replace(record, plan=replace(record.plan, disks=(disk,))))
    assert (outcome.state, outcome.disks[0].overwritten) == (State.DONE, False)
