"""A limit that ends in mid-copy, and a switch that waits for its window, by the clock of this machine."""

import time
from datetime import UTC, datetime

from tests.real.world import GUEST, World, copying, finished, until

# 256 MiB: 32 s at that.
_RATE = 8
_POLICY = """\
[[windows.bandwidth]]
from = "{limited}"
to = "{free}"
zone = "UTC"
rate = "{rate}MiB/s"
[[windows.cutover]]
from = "{opens}"
to = "{closes}"
zone = "UTC"
"""


def shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def test_a_window_closes_in_mid_copy_and_another_opens_for_the_switch(guest: World) -> None:
    now = float(int(time.time()))
    free, opens = now + 7, now + 13
    path = guest.folder / "policy.toml"
    times = {"limited": now - 60, "free": free, "opens": opens, "closes": now + 600}
    path.write_text(_POLICY.format(rate=_RATE, **{name: shown(at) for name, at in times.items()}))
    source, to = guest.path("vdb"), guest.other("vdb")
    copy = guest.lab.paths.pool(to) / source.name
    words = ("move", GUEST, "--to", to, "--disk", "vdb", "--method", "mirror", "--json")

    process = guest.cli.start("--policy", str(path), *words)
    until(lambda: time.time() > free - 0.5, "the first window is about to close")
    limited = copy.stat().st_blocks * 512
    assert copying(guest, ["vdb"])
    result = finished(process)

    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stderr
    assert 0 < limited <= _RATE * (free - now + 1) * (1 << 20)
    history = guest.cli("show", result.document["move"], "--json").document["history"]
    at = {entry["what"]: entry["at"] for entry in history}
    assert free < at["ready"] < opens
    assert opens <= at["pivot"] < opens + 2
    assert f"ready; the cutover window opens at {shown(opens)} (UTC)" in result.stderr
    assert result.document["seconds"]["pause"] < 2


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
