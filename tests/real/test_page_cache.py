"""A disk that is opened through the host's page cache: what lies there is written when the guest is suspended."""

import time

from svmove.lab.watch import Watch
from svmove.units import MiB
from tests.real.caching import through_the_page_cache
from tests.real.faults import storage
from tests.real.world import GUEST, World


def test_what_the_page_cache_holds_for_a_slow_source_is_written_before_the_guest_stands(guest: World) -> None:
    with storage.failing(guest) as disk, through_the_page_cache(guest):
        there = guest.cli.move(GUEST, "--disk", f"vdb={disk.pool.name}")
        assert there.code == 0, there.stdout
        disk.slow_down(MiB)
        try:
            time.sleep(25)  # the guest writes 200 KB/s meanwhile, and flushes nothing
            with Watch(guest.lab.console) as watch:
                back = guest.cli.move(GUEST, "--disk", "vdb=lab-a", "--verify", "none", "--keep-source")
        finally:
            disk.slow_down(None)
        print(watch.pause, back.document["seconds"])
        assert back.code == 0, back.stdout
        assert watch.pause is not None
        assert watch.pause.suspended < 2.0
