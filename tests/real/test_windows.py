"""A limit that ends in mid-copy, and a switch that waits for its window, by the clock of this machine."""

import time
from dataclasses import replace
from datetime import UTC, datetime

from svmove.journal import Record
from svmove.outcomes import Progress, State
from svmove.policy import Policy
from svmove.requests import DiskRequest, Method, Request
from svmove.units import MiB
from svmove.windows import BandwidthWindow, CutoverWindow, Windows
from tests.real.cli import finished
from tests.real.world import GUEST, World, until

# 256 MiB: 32 s at that.
_RATE = 8 * MiB


def shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def entered(record: Record, what: str) -> float:
    return next(entry.at for entry in record.entries if entry.what == what)


def test_a_window_closes_in_mid_copy_and_another_opens_for_the_switch(guest: World) -> None:
    source, to = guest.path("vdb"), guest.other("vdb")
    copy = guest.lab.paths.pool(to) / source.name
    asked = Request(domain=GUEST, to=to, disks=(DiskRequest(target="vdb"),), method=Method.MIRROR)
    guest.mover().plan(asked)  # all is imported when the clock is looked at
    now = float(int(time.time()))
    free, opens = now + 7, now + 13
    limit = BandwidthWindow(from_=shown(now - 60), to=shown(free), zone="UTC", rate=_RATE)
    switch = CutoverWindow(from_=shown(opens), to=shown(now + 600), zone="UTC")
    mover = guest.mover(policy=replace(Policy(), windows=Windows(bandwidth=(limit,), cutover=(switch,))))
    arrived: list[tuple[float, int]] = []
    said: list[str] = []

    def listen(seen: Progress) -> None:
        if seen.phase == "copying" and seen.target is not None:
            arrived.append((time.time(), copy.stat().st_blocks * 512))
        elif seen.text is not None and seen.target is None:
            said.append(seen.text)

    outcome = mover.move(asked, listener=listen)

    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
    limited = [(at, size) for at, size in arrived if at < free]
    assert len(limited) > 10
    assert 0 < limited[-1][1] <= _RATE * (free - now + 1)
    assert arrived[-1][1] > 2 * limited[-1][1]
    record = mover.journal.read(outcome.move or "")
    assert free < entered(record, "ready") < opens < entered(record, "pivot") < opens + 3
    assert f"ready; the cutover window opens at {shown(opens)} (UTC)" in said
    assert outcome.seconds.pause < 2


def test_a_switch_at_its_time_is_done_at_once_when_a_person_says_so(guest: World) -> None:
    process = guest.cli.start("move", GUEST, "--to", guest.other("vdb"), "--disk", "vdb", "--at", "00:00 UTC", "--json")

    def ready() -> bool:
        (task,) = guest.cli("tasks", "--json").document["tasks"] or ({"phase": ""},)
        return bool(task["phase"] == "ready")

    until(ready, "the copy waits for midnight")
    move = guest.domain().marker or ""
    assert (process.poll(), guest.cli("set", move, "--cutover", "now", "--json").document["cutover"]) == (None, None)
    result = finished(process)
    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stderr
    assert "cutover-waits" in [finding["code"] for finding in result.document["findings"]]
