"""Volumes that are there and are taken as they are."""

from dataclasses import replace

import pytest

from svmove.moves import Level
from svmove.units import GiB
from tests.builders import request
from tests.plan.fires import LUN, THICK, Fires, lun, to_lun

FIRES = [
    Fires(
        code="choose-volume",
        also=THICK,
        found=to_lun(),
        asked=request(),
        target="vda",
        says="name=VOLUME, of unit:0:0:1",
    ),
    Fires(
        code="no-such-volume",
        also=THICK,
        found=to_lun(),
        asked=lun("unit:0:0:2"),
        target="vda",
        says="unit:0:0:1",
    ),
    Fires(
        code="volume-too-small",
        also=THICK,
        found=to_lun(size=1),
        asked=lun(),
        target="vda",
        says="larger",
    ),
    Fires(
        code="volume-read-only",
        also=THICK,
        found=to_lun(read_only=True),
        asked=lun(),
        target="vda",
        says="can't be written",
    ),
    Fires(
        code="used-elsewhere",
        also=THICK,
        found=to_lun(used_by="domain db"),
        asked=lun(),
        target="vda",
        says="domain db",
    ),
    Fires(
        code="not-blank",
        also=THICK,
        found=to_lun(blank=False),
        asked=lun(),
        target="vda",
        says="--overwrite",
    ),
    Fires(code="volume-too-small", also=THICK, found=to_lun(size=0), asked=lun(), target="vda", says="is no disk"),
    Fires(
        code="cannot-open",
        also=THICK,
        found=replace(to_lun(), taken={}, troubles={LUN: f"{LUN} can't be opened: Connection refused"}),
        asked=lun(),
        target="vda",
        says="can't be opened: Connection refused",
    ),
    Fires(
        code="slice",
        found=to_lun(size=5 * GiB),
        asked=lun(),
        level=Level.NOTE,
        also=THICK,
        target="vda",
    ),
    Fires(code="thinness", found=to_lun(), asked=lun(), level=Level.NOTE, target="vda", says="thin itself"),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()
