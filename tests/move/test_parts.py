"""Parts of a move that can be looked at alone: extents, witnesses, transitions, the governor, the outcome."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.errors import HostError, UnreachableError
from svmove.journal import Entry, Kind, Record
from svmove.model import DomainState, Mirror
from svmove.move import governor, outcome
from svmove.move.compare import covering, slices
from svmove.move.compare import merged as merged_extents
from svmove.move.methods import STEPS
from svmove.move.observe import DiskSeen, Seen, Where
from svmove.move.phases import BEFORE_CUTOVER, ENDED, NEXT, RESTING, Phase
from svmove.moves import Finding, Level
from svmove.outcomes import GuestOn, Mismatch, State
from svmove.requests import Method, Verify
from svmove.units import KiB, MiB
from tests.builders import MOVE, NOW, disk_plan, domain, plan

SOURCE, DESTINATION = disk_plan().source, disk_plan().destination.path

# Extents

EXTENTS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6)).map(lambda at: Mismatch(offset=at[0], length=at[1])), max_size=12
)


def covered(extents: list[Mismatch] | tuple[Mismatch, ...]) -> set[int]:
    return {byte for extent in extents for byte in range(extent.offset, extent.offset + extent.length)}


@given(st.lists(st.integers(0, 60), unique=True, max_size=30))
def test_merged_extents_cover_the_same_and_do_not_touch(grains: list[int]) -> None:
    """As the comparison finds them: grains that do not overlap, in any order."""
    extents = [Mismatch(offset=at * 64, length=64) for at in grains]
    merged = merged_extents(extents)
    assert covered(extents) == covered(merged)
    assert all(one.offset + one.length < other.offset for one, other in pairwise(merged))


@given(EXTENTS)
def test_merged_extents_that_overlapped_still_cover_the_same(extents: list[Mismatch]) -> None:
    assert covered(extents) == covered(merged_extents(extents))


@given(st.lists(st.integers(1, 5 * MiB), min_size=1, max_size=4), st.integers(64 * KiB, 2 * MiB))
def test_slices_cover_each_extent_once(sizes: list[int], slice_: int) -> None:
    extents = [(number * 8 * MiB, size) for number, size in enumerate(sizes)]
    pieces = list(slices(extents, slice_))
    for offset, size in extents:
        at = offset
        for begin, length in (piece for piece in pieces if offset <= piece[0] < offset + size):
            assert begin == at
            assert 0 < length <= slice_
            at += length
        assert at == offset + size


@given(EXTENTS, st.integers(1, 5))
def test_few_ranges_cover_many_extents_with_the_smallest_gaps(extents: list[Mismatch], most: int) -> None:
    ranges = covering([(extent.offset, extent.length) for extent in extents], most)
    assert len(ranges) <= most
    assert covered(extents) <= covered([Mismatch(offset=offset, length=length) for offset, length in ranges])
    if most >= len(extents):
        assert covered(extents) == covered([Mismatch(offset=offset, length=length) for offset, length in ranges])


# Witnesses


NONE: frozenset[str] = frozenset()
HERE, THERE = frozenset({SOURCE}), frozenset({DESTINATION})


def seen(
    live: str | None = SOURCE,
    inactive: str | None = SOURCE,
    *,
    persistent: bool = True,
    mirror: Mirror | None = None,
    held: frozenset[str] = NONE,
    ours: frozenset[str] = THERE,
) -> DiskSeen:
    return DiskSeen(
        target="vda",
        live=live,
        inactive=inactive,
        persistent=persistent,
        mirror=mirror,
        held=held,
        ours=ours,
        plan=disk_plan(),
    )


ON_SOURCE = seen(held=HERE)
ON_DESTINATION = seen(DESTINATION, DESTINATION, held=THERE)
MIRROR = Mirror(job="copy", path=DESTINATION, ready=True)


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        (ON_SOURCE, Where.SOURCE),
        (replace(ON_SOURCE, mirror=MIRROR, held=HERE | THERE), Where.SOURCE),
        (replace(ON_SOURCE, persistent=False, inactive=None), Where.SOURCE),
        (replace(ON_SOURCE, held=NONE), Where.UNCLEAR),
        (replace(ON_SOURCE, inactive=DESTINATION), Where.UNCLEAR),
        (replace(ON_SOURCE, inactive=None), Where.UNCLEAR),
        (replace(ON_SOURCE, live=DESTINATION), Where.UNCLEAR),
        (replace(ON_SOURCE, live=None), Where.UNCLEAR),
        (ON_DESTINATION, Where.DESTINATION),
        (replace(ON_DESTINATION, persistent=False, inactive=None), Where.DESTINATION),
        (replace(ON_DESTINATION, held=NONE), Where.UNCLEAR),
        (replace(ON_DESTINATION, held=HERE | THERE), Where.UNCLEAR),
        (replace(ON_DESTINATION, inactive=SOURCE), Where.UNCLEAR),
        (replace(ON_DESTINATION, live=SOURCE), Where.UNCLEAR),
        (replace(ON_DESTINATION, mirror=MIRROR), Where.UNCLEAR),
        (seen("/other", "/other", held=HERE), Where.UNCLEAR),
    ],
)
def test_a_disk_is_where_all_three_witnesses_say(disk: DiskSeen, expected: Where) -> None:
    assert expected == disk.where


def test_disks_in_two_places_are_nowhere_clear() -> None:
    together = Seen(domain=domain(), process=None, disks=(ON_SOURCE, ON_DESTINATION))
    assert together.where is Where.UNCLEAR
    assert replace(together, disks=(ON_SOURCE, ON_SOURCE)).where is Where.SOURCE


@pytest.mark.parametrize(
    ("state", "inactive", "expected"),
    [(DomainState.OFF, SOURCE, True), (DomainState.OFF, DESTINATION, False), (DomainState.RUNNING, SOURCE, False)],
)
def test_off_on_its_source_is_what_the_next_start_will_use(state: DomainState, inactive: str, expected: bool) -> None:
    found = Seen(domain=domain(state=state), process=None, disks=(seen(None, inactive),))
    assert expected == found.off_on_source


def test_all_are_ready_only_when_each_one_is_and_it_is_our_mirror() -> None:
    ready = replace(ON_SOURCE, mirror=MIRROR)
    both = Seen(domain=domain(), process=None, disks=(ready, ready))
    assert both.all_ready
    for other in (
        ON_SOURCE,
        replace(ready, mirror=replace(MIRROR, ready=False)),
        replace(ready, mirror=replace(MIRROR, path="/x")),
    ):
        assert not replace(both, disks=(ready, other)).all_ready


# Phases


def test_every_phase_that_does_not_rest_has_a_step_in_every_method() -> None:
    for method, steps in STEPS.items():
        # All of a guest that is off is proven before its XML is written.
        none = {Phase.VERIFYING} if method is Method.OFFLINE else set()
        assert set(steps) == set(Phase) - RESTING - none
    assert set(NEXT) == set(Phase)


def test_what_has_ended_leads_nowhere() -> None:
    assert all(NEXT[phase] == frozenset() for phase in ENDED)


def test_every_phase_before_the_cutover_can_be_rolled_back_and_none_after_it() -> None:
    back = {phase for phase in Phase if Phase.ROLLING_BACK in NEXT[phase]}
    assert back == BEFORE_CUTOVER | {Phase.CUTOVER, Phase.HELD}


def test_a_source_is_only_deleted_after_the_verification_or_a_person_s_word() -> None:
    before = {phase for phase in Phase if Phase.COMMITTED in NEXT[phase]}
    assert before == {Phase.CUTOVER, Phase.VERIFYING, Phase.HELD}  # the cutover: --verify none


# The governor


@given(st.integers(1, 10**9), st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=1, max_size=200))
def test_the_data_stay_at_the_asked_bandwidth_but_for_what_one_look_can_miss(cap: int, dense: list[float]) -> None:
    """`dense` is how much of what goes by in each look is data; QEMU keeps to the limit that it was given."""
    governed, data, given = governor.Governor(cap), 0, {"vda": cap}
    for number, part in enumerate(dense):
        now = number * governor.LOOK
        data += int(given["vda"] * governor.LOOK * part) if number else 0
        given |= governed.limits(now, data, {"vda": 10**15})
        assert given["vda"] >= 1
        burst = governor.LOOK * governor._THROUGH_HOLES + governor._SAVED
        assert data <= cap * (now + burst) + number + 1


def test_holes_go_by_faster_than_data() -> None:
    governed = governor.Governor(1000)
    governed.limits(0.0, 0, {"vda": 10**6})
    assert governed.limits(1.0, 0, {"vda": 10**6}) == {"vda": 5000}


def test_through_data_the_limit_stays_as_it_is() -> None:
    governed = governor.Governor(1000)
    assert governed.limits(0.0, 0, {"vda": 10**6}) == {"vda": 1000}
    assert [governed.limits(second, second * 1000, {"vda": 10**6}) for second in range(1, 5)] == [{}] * 4


def test_what_came_in_a_burst_is_paid_back() -> None:
    governed = governor.Governor(1000)
    governed.limits(0.0, 0, {"vda": 10**6})
    assert governed.limits(0.1, 1000, {"vda": 10**6}) == {"vda": 250}
    assert governed.limits(0.5, 1100, {"vda": 10**6}) == {}
    assert governed.limits(1.2, 1200, {"vda": 10**6}) == {"vda": 1000}


def test_a_limit_is_shared_by_what_is_left_and_a_disk_that_is_ready_needs_none() -> None:
    governed = governor.Governor(1000)
    assert governed.limits(0.0, 0, {"vda": 300, "vdb": 100, "vdc": 0}) == {"vda": 750, "vdb": 250}


@given(st.integers(1, 10**12))
def test_a_governed_buffer_is_sent_between_two_looks(cap: int) -> None:
    assert governor.buffer_for(None, 64) == 64
    buffer = governor.buffer_for(cap, 1 << 26)
    assert 1 << 20 <= buffer <= 1 << 26
    assert buffer <= max(cap * governor.LOOK, 1 << 20)


# The outcome


def entry(
    kind: Kind, what: str, target: str | None = None, *, phase: str = "x", at: float = NOW, **data: object
) -> Entry:
    return Entry(at=at, phase=phase, kind=kind, what=what, target=target, data=data)


def record(phase: Phase, *entries: Entry, **changed: object) -> Record:
    return Record(plan=plan(**changed), uri="u", phase=phase, ended=phase in ENDED, entries=entries)


def error(code: str, remedy: str | None = None, **about: str) -> Entry:
    return entry(Kind.ERROR, code, text=f"{code} happened", remedy=remedy, **about)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "state"),
    [(Phase.DONE, State.DONE), (Phase.ROLLED_BACK, State.ROLLED_BACK)]
    + [(phase, State.HELD) for phase in Phase if phase not in ENDED],
)
def test_what_is_not_ended_is_held(phase: Phase, state: State) -> None:
    assert state == outcome.of_record(record(phase)).state


def test_the_first_error_is_the_cause_of_a_roll_back_and_the_newest_of_a_hold() -> None:
    errors = (error("first"), error("second"))
    for phase, expected in ((Phase.ROLLED_BACK, "first"), (Phase.HELD, "second")):
        found = outcome.of_record(record(phase, *errors)).error
        assert found is not None
        assert expected == found.code


def test_an_error_that_was_overcome_is_none_of_a_move_that_is_done() -> None:
    assert outcome.of_record(record(Phase.DONE, error("x"))).error is None


def test_a_move_that_was_stopped_says_how_it_goes_on() -> None:
    found = outcome.of_record(record(Phase.COPYING), stopped_by=UnreachableError("gone")).error
    assert found is not None
    assert (found.code, found.guest_on) == (UnreachableError.code, GuestOn.SOURCE)
    assert "gone" in found.text
    assert f"svmove resume {MOVE}" in str(found.remedy)


@pytest.mark.parametrize(
    ("phase", "entries", "expected"),
    [
        (Phase.CUTOVER, (), GuestOn.UNKNOWN),
        (Phase.HELD, (entry(Kind.FACT, "proven", where="destination"),), GuestOn.DESTINATION),
        (Phase.HELD, (entry(Kind.FACT, "proven", where="source"),), GuestOn.SOURCE),
        (Phase.READY, (), GuestOn.SOURCE),
    ],
)
def test_the_guest_is_said_to_be_where_it_was_proven(
    phase: Phase, entries: tuple[Entry, ...], expected: GuestOn
) -> None:
    found = outcome.of_record(record(phase, *entries), stopped_by=HostError("x")).error
    assert found is not None
    assert expected == found.guest_on


def test_the_seconds_are_those_between_the_phases() -> None:
    times = {"prepared": 1.0, "ready": 4.0, "verifying": 5.0, "committed": 7.0, "done": 8.0}
    phases = [entry(Kind.PHASE, what, at=NOW + at) for what, at in times.items()]
    paused = [entry(Kind.FACT, "paused", at=NOW + 4.5, seconds=seconds) for seconds in (0.2, 0.1)]
    found = outcome.of_record(record(Phase.DONE, *phases[:2], *paused, *phases[2:])).seconds
    assert (found.total, found.copy, found.verify, found.pause) == (8.0, 3.0, 2.0, 0.2)


def test_a_clock_that_was_set_back_gives_no_negative_seconds() -> None:
    phases = [entry(Kind.PHASE, what, at=NOW - at) for at, what in enumerate(("prepared", "ready", "done"))]
    found = outcome.of_record(record(Phase.DONE, *phases)).seconds
    assert (found.total, found.copy, found.verify) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("verify", "entries", "expected"),
    [
        (Verify.CUTOVER, (entry(Kind.FACT, "verified", "vda", mismatches=[]),), (True, 0)),
        (Verify.CUTOVER, (entry(Kind.FACT, "verified", "vda", mismatches=[{"offset": 1, "length": 2}]),), (False, 1)),
        (Verify.CUTOVER, (entry(Kind.FACT, "verified", "vdb", mismatches=[]),), (False, 0)),
        (Verify.CUTOVER, (), (False, 0)),
        (Verify.NONE, (), (False, 0)),
    ],
)
def test_verified_is_only_what_was_compared_and_equal(
    verify: Verify, entries: tuple[Entry, ...], expected: tuple[bool, int]
) -> None:
    found = outcome.of_record(record(Phase.DONE, *entries, verify=verify)).disks[0]
    assert expected == (found.verified, len(found.mismatches))


def test_leftovers_are_findings_beside_those_of_the_plan() -> None:
    planned = Finding(level=Level.NOTE, code="cdrom", text="x")
    kept = entry(Kind.FACT, "source-kept", "vda", text="kept")
    found = outcome.of_record(record(Phase.DONE, kept, findings=(planned,))).findings
    assert [(one.level, one.code, one.target) for one in found] == [
        (Level.NOTE, "cdrom", None),
        (Level.WARN, "source-kept", "vda"),
    ]


def test_a_refused_plan_s_first_refusal_is_its_error() -> None:
    findings = tuple(
        Finding(level=level, code=code, text=code, remedy=f"mend {code}")
        for level, code in ((Level.WARN, "a"), (Level.REFUSE, "b"), (Level.REFUSE, "c"))
    )
    found = outcome.of_plan(plan(findings=findings))
    assert (found.state, found.move, found.error and found.error.code) == (State.REFUSED, None, "b")
    assert found.findings == findings


def test_a_plan_without_disks_is_there_already() -> None:
    found = outcome.of_plan(plan(disks=(), there=("vda",)))
    assert (found.state, found.error) == (State.ALREADY_THERE, None)
