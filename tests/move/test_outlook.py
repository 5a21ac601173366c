"""When a mirror will be ready, or that it never will: from samples alone."""

from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from svmove.move.outlook import Outlook, Pace, Sample, Watch
from svmove.units import KiB, MiB

EVIDENCE = 3.0
STEP = 0.5


def watched(
    *, whole: int, copy: float, dirty: Callable[[float, float], float], seconds: float, time_left: float | None = None
) -> Iterable[tuple[float, Outlook | None]]:
    """Outlooks of a mirror that copies so many bytes a second. `dirty(at, left)`: what the guest makes dirty, per
    second. Ends when it is ready."""
    watch, at, done, end = Watch(EVIDENCE), 0.0, 0.0, float(whole)
    while at <= seconds:
        watch.add(Sample(at=at, done=int(done), end=int(end)))
        if done >= end:
            return
        yield at, watch.outlook(time_left)
        end += dirty(at, end - done) * STEP
        done = min(done + copy * STEP, end)
        at += STEP


@given(
    st.integers(MiB, 500 * MiB),
    st.floats(1, 100),
    st.floats(0, 0.7),
    st.floats(0, 0.05),
    st.randoms(use_true_random=False),
)
def test_no_step_is_taken_for_a_mirror_that_converges_by_itself(
    whole: int, copy: float, share: float, noise: float, random: "object"
) -> None:
    """The guest dirties up to 70 % of what is copied, and sometimes 5 % more or less."""
    uniform = getattr(random, "uniform")  # noqa: B009
    copy *= MiB
    for at, seen in watched(
        whole=whole, copy=copy, dirty=lambda *_: copy * (share + uniform(-noise, noise)), seconds=200
    ):
        assert seen is None or seen.converges is not False, f"after {at} s: {seen}"


@given(st.integers(MiB, 100 * MiB), st.floats(1, 100), st.floats(1.0, 10))
def test_a_guest_that_dirties_as_much_as_is_copied_is_known_soon_after_the_first_pass(
    whole: int, copy: float, share: float
) -> None:
    copy *= MiB
    first_pass = whole / copy
    known = None
    for at, seen in watched(whole=whole, copy=copy, dirty=lambda *_: copy * share, seconds=first_pass + 30):
        if seen is not None and seen.converges is False:
            known = at
            assert seen.seconds is None
            break
    assert known is not None
    assert first_pass < known <= first_pass + 2 * EVIDENCE + EVIDENCE / 3 + 3 * STEP


def test_random_writes_that_fill_what_is_dirty_are_known_though_what_is_left_stands_still() -> None:
    """600 writes a second over 64 MiB, each making 64 KiB dirty that was not: 12 MiB/s of them are left at the end."""
    region, writes = 64 * MiB, 600

    def dirty(_at: float, left: float) -> float:
        return writes * 64 * KiB * max(1 - left / region, 0)

    seen = [s for _, s in watched(whole=region, copy=12 * MiB, dirty=dirty, seconds=30) if s is not None]
    assert seen[-1].converges is False
    assert abs(seen[-1].dirty - seen[-1].copy) < 0.1 * seen[-1].copy


def test_the_end_is_predicted_as_it_goes() -> None:
    for at, seen in watched(whole=600 * MiB, copy=20 * MiB, dirty=lambda *_: 10 * MiB, seconds=100):
        if seen is not None and seen.seconds is not None:
            assert abs(at + seen.seconds - 60) < 3  # 600 MiB at 20 - 10 MiB/s


def test_an_end_that_is_later_than_the_deadline_is_none() -> None:
    slow = list(watched(whole=10 * MiB, copy=10 * MiB, dirty=lambda *_: 7 * MiB, seconds=4.5))
    assert slow[-1][1] is not None
    last = [
        seen
        for _, seen in watched(whole=300 * MiB, copy=10 * MiB, dirty=lambda *_: 7 * MiB, seconds=60, time_left=5.0)
        if seen is not None
    ]
    assert last[-1].converges is False


def test_a_burst_that_ends_is_no_verdict() -> None:
    def burst(at: float, _left: float) -> float:
        return 30 * MiB if 12 <= at < 15 else 1 * MiB

    for _, seen in watched(whole=100 * MiB, copy=10 * MiB, dirty=burst, seconds=60):
        assert seen is None or seen.converges is not False


def test_a_copy_that_stands_still_is_no_matter_of_what_the_guest_writes() -> None:
    watch = Watch(EVIDENCE)
    for step in range(60):
        watch.add(Sample(at=step * STEP, done=100, end=100 + 50))
        seen = watch.outlook()
        assert seen is None or seen.converges is None


def test_what_was_seen_before_a_step_says_nothing_about_what_comes() -> None:
    watch = Watch(EVIDENCE)
    for step in range(40):
        watch.add(Sample(at=step * STEP, done=step * 100, end=500 + step * 100))
        seen = watch.outlook()
    assert seen is not None
    assert seen.converges is False
    watch.forget()
    assert watch.outlook() is None


def crawls(copied: Callable[[float], float], *, left: int = 100 * MiB, seconds: float = 300.0) -> float | None:
    """When a copy is said to crawl that has copied so many bytes by then, in requests of 1 MiB; 128 KiB/s are the
    least, and 30 s a window."""
    pace, at = Pace(30.0), 0.0
    while at <= seconds:
        done = int(copied(at)) // MiB * MiB
        if pace.slow(Sample(at=at, done=done, end=done + left), 128 * KiB) is not None:
            return at
        at += STEP
    return None


def test_a_copy_that_crawls_is_known_after_two_windows() -> None:
    assert crawls(lambda at: at * 200 * KiB) is None
    found = crawls(lambda at: at * 50 * KiB)
    assert found is not None
    assert 60 <= found < 125  # a request takes 20 s, and with one of them each window ends
    # It was fast for a minute.
    later = crawls(lambda at: min(at, 60) * 100 * MiB + max(at - 60, 0) * 50 * KiB)
    assert later is not None
    assert 120 <= later < 220


def test_a_copy_whose_storage_has_hung_and_is_back_does_not_crawl() -> None:
    assert crawls(lambda at: (at if at < 60 else max(at - 120, 60)) * 10 * MiB) is None
    assert crawls(lambda at: max(at - 200, 0) * 10 * MiB) is None


def test_a_copy_with_little_to_do_does_not_crawl() -> None:
    assert crawls(lambda at: at * 20 * KiB, left=MiB) is None
