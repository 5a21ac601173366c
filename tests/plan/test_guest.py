"""Checks of the guest as a whole, and of when it may be switched."""

from dataclasses import replace

import pytest

from svmove.model import Agent, DomainState, Inventory
from svmove.moves import Level
from svmove.requests import Method, Request
from svmove.windows import Moment
from tests.builders import NOW, disk, domain, inventory, request
from tests.plan.fires import OFF, Fires, codes

FIRES = [
    Fires(code="domain-off", found=inventory(domain=OFF), asked=request(method=Method.MIRROR), says="virsh start"),
    Fires(code="domain-on", asked=request(method=Method.OFFLINE), says="virsh shutdown"),
    Fires(code="managed-save", found=inventory(domain=replace(OFF, managed_save=True)), says="managedsave-remove"),
    Fires(code="domain-state", found=inventory(domain=domain(state=DomainState.OTHER))),
    Fires(code="move-running", found=inventory(domain=domain(marker="m-1")), says="svmove resume m-1"),
    Fires(
        code="io-error",
        found=inventory(domain=domain(state=DomainState.PAUSED, io_error=True)),
        level=Level.NOTE,
        says="virsh resume web",
    ),
    Fires(code="domain-job", found=inventory(domain=domain(job="backup")), says="a backup runs"),
    Fires(code="no-permission", found=inventory(can_read_host=False, images={}), says="sudo"),
    Fires(code="pause-too-short", asked=request(max_pause=0.25), says="250 ms"),
    Fires(code="pause-too-short", asked=request(max_pause=1.2, freeze=True), found=inventory(agent=Agent.ANSWERS)),
    Fires(
        code="no-agent", asked=request(freeze=True), found=inventory(agent=Agent.SILENT), says="start qemu-guest-agent"
    ),
    Fires(
        code="no-agent",
        asked=request(trim=True),
        found=inventory(disk(discard="unmap"), agent=Agent.ABSENT),
        says="channel",
    ),
    Fires(code="deadline-short", asked=request(deadline=1.0), says="--deadline", level=Level.WARN),
    Fires(
        code="cutover-waits",
        asked=request(at=Moment(at=NOW + 7200, zone="UTC")),
        says="from 2023-11-15 00:13:20 (UTC) on",
        level=Level.NOTE,
    ),
    Fires(
        code="window-after-deadline",
        asked=request(at=Moment(at=NOW + 7200, zone="UTC"), deadline=3600.0),
        says="--deadline 3h",
    ),
    Fires(
        code="nvram",
        found=inventory(domain=domain(live_nvram="/pools/slow/web.fd")),
        level=Level.NOTE,
        says="stay at /pools/slow/web.fd, in pool slow: QEMU has them open",
    ),
    Fires(
        code="nvram",
        found=inventory(domain=domain(live_nvram="/nv/web.fd")),
        level=Level.NOTE,
        says="when the guest is off, if they are in a pool: svmove move web --to fast",
    ),
    Fires(code="tpm", found=inventory(domain=domain(tpm="/tpm/u")), level=Level.NOTE, says="/tpm/u"),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()


NOT = [
    ("domain-state", request(), inventory(domain=domain(state=DomainState.PAUSED))),
    ("pause-too-short", request(max_pause=0.251), inventory()),
    ("pause-too-short", request(freeze=True), inventory(agent=Agent.ANSWERS)),
    ("no-agent", request(freeze=True), inventory(agent=Agent.ANSWERS)),
    ("no-agent", request(), inventory(agent=Agent.ABSENT)),
    ("deadline-short", request(deadline=3600.0), inventory()),
    ("cutover-waits", request(at=Moment(at=NOW - 1, zone="UTC")), inventory()),
    ("window-after-deadline", request(at=Moment(at=NOW + 60, zone="UTC"), deadline=3600.0), inventory()),
    ("no-permission", request(), inventory(domain=domain(live=(), state=DomainState.OFF), can_read_host=False)),
    ("nvram", request(to="slow"), inventory(domain=domain(live_nvram="/nv/web.fd"))),
    ("nvram", request(), inventory(domain=domain(live_nvram="/pools/fast/web.fd"))),  # there already
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in codes(asked, found)
