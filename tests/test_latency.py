"""From counters to latencies and loads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.fleet import Counters, DiskKey
from svmove.latency import Sample, latencies, percentile


def sample(at: float, pool: str = "a", **disks: tuple[int, float]) -> Sample:
    """Of each disk its writes, and the seconds that they took in all."""
    counters: dict[DiskKey, Counters] = {
        ("web", target): Counters(reads=0, writes=writes, read_seconds=0.0, write_seconds=seconds)
        for target, (writes, seconds) in disks.items()
    }
    return Sample(at=at, counters=counters, pools=dict.fromkeys(counters, pool))


def test_the_percentile_is_by_nearest_rank() -> None:
    assert percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) == 9
    assert percentile([5]) == 5
    with pytest.raises(ValueError, match="nothing"):
        percentile([])


@given(values=st.lists(st.floats(0, 1), min_size=1))
def test_at_least_nine_tenths_are_not_above_the_percentile(values: list[float]) -> None:
    found = percentile(values)
    assert found in values
    assert sum(value <= found for value in values) >= 0.9 * len(values)
    assert sum(value < found for value in values) < 0.9 * len(values)


def test_a_pool_s_latency_is_that_of_all_its_requests_and_a_disk_s_load_is_what_waits_at_a_time() -> None:
    found = latencies([sample(0, vda=(0, 0), vdb=(0, 0)), sample(10, vda=(100, 1.0), vdb=(100, 3.0))])
    assert found.pools == {"a": pytest.approx(0.02)}
    assert found.loads == {("web", "vda"): pytest.approx(0.1), ("web", "vdb"): pytest.approx(0.3)}
    assert found.seconds == 10


def test_one_bad_interval_of_many_does_not_count_and_two_of_ten_do() -> None:
    def run(bad: int) -> float:
        samples, writes, seconds = [sample(0, vda=(0, 0))], 0, 0.0
        for number in range(10):
            writes, seconds = writes + 100, seconds + (10.0 if number < bad else 0.1)
            samples.append(sample(10.0 * (number + 1), vda=(writes, seconds)))
        return latencies(samples).pools["a"]

    assert run(1) == pytest.approx(0.001)
    assert run(2) == pytest.approx(0.1)


def test_an_idle_pool_has_no_latency() -> None:
    assert latencies([sample(0, vda=(0, 0)), sample(10, vda=(3, 0.5))]).pools == {}


def test_a_guest_that_was_started_anew_or_has_moved_is_left_out_of_that_interval() -> None:
    again = latencies([sample(0, vda=(1000, 5)), sample(10, vda=(100, 1))])
    assert (again.pools, again.loads) == ({}, {})
    moved = latencies([sample(0, vda=(0, 0)), sample(10, "b", vda=(100, 1)), sample(20, "b", vda=(200, 2))])
    assert moved.pools == {"b": pytest.approx(0.01)}
    new = latencies([sample(0), sample(10, vda=(100, 1))])
    assert new.loads == {}


def test_without_two_samples_nothing_is_known() -> None:
    assert latencies([]).pools == {}
    assert latencies([sample(0, vda=(1, 1))]).loads == {}
