"""A volume that is there already, and is to become a destination: looked at once more before it is overwritten."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from svmove.errors import CopyError
from svmove.move.prepare import take
from svmove.units import GiB
from svmove.volumes import Taken, VolumeSpec

LUN = "iscsi://10.0.0.5/iqn.2026-11.org:san/1"


def a_move(there: Taken | None) -> Any:
    written: list[str] = []
    host = SimpleNamespace(identity=lambda path: path if there else None, taken=lambda _path: there)
    hypervisor = SimpleNamespace(paths_in_use=lambda **_: {})
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
