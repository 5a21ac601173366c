"""svmove dies, libvirt goes away, or a call fails, at EVERY call of a whole move; then it is resumed.

Whatever happens, `Stage.check` holds: the move rests, the guest runs and has all that it wrote, nothing was
deleted that somebody needs, nothing is left that costs the guest. And it must not be too careful: most of
these points lead to DONE.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from svmove.errors import HostError, HypervisorError, JournalError, NotFoundError, SvmoveError, UnreachableError
from svmove.move.phases import RESTING
from svmove.moves import Plan
from svmove.policy import Policy
from svmove.requests import Method
from svmove.volumes import NVRAM
from svmove.windows import Moment
from tests.builders import NOW
from tests.fake import CrashError, Faults, ViolationError
from tests.move.stage import Stage

pytestmark = pytest.mark.usefixtures("quick")

LIVE = (Method.MIRROR, Method.SNAPSHOT)
METHODS = (*LIVE, Method.OFFLINE)
LOOKS = frozenset(
    {"domain", "job", "exports", "paths_in_use", "volume_at", "pools", "volume_names", "process", "holds", "holders"}
    | {"inactive_images", "based_on", "identity", "image", "allocated", "size", "answers", "probe", "free"}
    | {"extents", "shares_all", "compare_local", "compare"}
)
# Targets, and what is asked of the move.
MOVES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "mirror": (("vda", "vdb"), {"method": Method.MIRROR}),
    "snapshot": (("vda",), {"method": Method.SNAPSHOT}),
    # Disks that are off go over one after the other, and all by one definition: a second one is a case of its own.
    "offline": (("vda",), {"method": Method.OFFLINE}),
    "chain that becomes one file, offline, and a CD": (("vda", "sda"), {"method": Method.OFFLINE, "flatten": True}),
    "agent and a CD": (("vda", "sda"), {"method": Method.MIRROR, "trim": True, "freeze": True}),
}

_UUIDS = (f"6f2c8d1e-0000-4000-8000-{number:012d}" for number in range(10**6))


def crash(_room: str, call: str) -> BaseException:
    return CrashError(call)


def lose(_room: str, call: str) -> BaseException:
    return UnreachableError(f"lost libvirt: {call}")


def fail(room: str, call: str) -> BaseException:
    errors: dict[str, type[SvmoveError]] = {"virt": HypervisorError, "host": HostError, "journal": JournalError}
    return errors[room](f"{call} failed")


def every_call(
    folder: Path,
    make: Callable[[str, str], BaseException],
    *targets: str,
    after_effect: bool,
    prepare: Callable[[Stage], Stage] = lambda stage: stage,
    policy: Policy | None = None,
    only: Callable[[int, str], bool] = lambda _number, _call: True,
    **asked: Any,
) -> Iterator[tuple[int, Stage, Plan, str]]:
    """A stage for each N, whose move was hit at call N, by the name of that call."""
    how = {"method": asked.get("method"), "flatten": asked.get("flatten", False), "policy": policy}
    whole = prepare(staged(folder, *targets, **how))
    plan, whole.world.faults = whole.plan(**asked), Faults()
    whole.run(plan)
    rooms, calls = list(whole.world.faults.rooms), list(whole.world.faults.calls)
    assert len(rooms) > 60
    looked = set[str]()
    for number, (room, call) in enumerate(zip(rooms, calls, strict=True), start=1):
        if (make is lose and room != "virt") or not only(number, call):
            continue
        # Between two acts nothing changes: the first look of each kind stands for the others.
        if call not in LOOKS:
            looked = set()
        elif call in looked:
            continue
        looked.add(call)
        stage = prepare(staged(folder, *targets, **how))
        plan = stage.plan(**asked)
        stage.world.faults = Faults(at=number, after_effect=after_effect, make=make)
        came: BaseException | None = None
        try:
            stage.run(plan)
        except (CrashError, SvmoveError) as error:
            came = error
        struck = stage.world.faults.struck
        assert struck is not None, f"call {number} never came; {came!r} did"
        assert stage.world.faults.rooms[number - 1] == room, "the moves differ: not every call was hit"
        yield number, stage, plan, struck


def staged(
    folder: Path, *targets: str, method: Method | None, flatten: bool = False, policy: Policy | None = None
) -> Stage:
    stage = Stage(folder, *targets, uuid=next(_UUIDS), policy=policy)
    if flatten:
        stage.world.lay_on_a_base("vda")
    if method is Method.OFFLINE:
        stage.stop_guest()
    return stage


def untouched(stage: Stage, plan: Plan) -> bool:
    """The move was never recorded: then nothing may have been done either."""
    try:
        stage.record(plan.move)
    except NotFoundError:
        assert not any(stage.destinations().values())
        assert stage.world.marker is None
        return True
    return False


def resumed(stage: Stage, plan: Plan) -> str:
    for _ in range(3):
        if stage.record(plan.move).phase not in RESTING:
            stage.resume(plan.move)
    return stage.check(plan.move)


@pytest.mark.parametrize(("disks", "asked"), MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("make", [crash, lose, fail], ids=lambda make: make.__name__)
def test_whatever_hits_a_move_it_rests_with_the_guest_unhurt(
    tmp_path: Path,
    make: Callable[[str, str], BaseException],
    after_effect: bool,
    disks: tuple[str, ...],
    asked: dict[str, Any],
) -> None:
    ends: Counter[str] = Counter()
    wrong = []
    for number, stage, plan, struck in every_call(tmp_path, make, *disks, after_effect=after_effect, **asked):
        if untouched(stage, plan):
            continue
        try:
            ends[resumed(stage, plan)] += 1
        except (AssertionError, SvmoveError) as error:
            wrong.append(f"call {number}, {struck}: {str(error) or repr(error)}".partition("\n")[0])
    assert wrong == []
    if make is not fail:
        assert ends["done"] > 0.7 * ends.total()
        assert ends["held"] < 0.25 * ends.total()


@pytest.mark.parametrize("method", LIVE)
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_a_guest_that_is_off_when_a_crashed_move_is_resumed_can_start_again(
    tmp_path: Path, after_effect: bool, method: Method
) -> None:
    """What the inactive XML names is there, and neither a copy that it names nor the last one is gone."""
    for number, stage, plan, struck in every_call(tmp_path, crash, "vda", after_effect=after_effect, method=method):
        if untouched(stage, plan):
            continue
        stage.world.faults = Faults()
        stage.world.pass_time(1.0)
        stage.world.stop_guest()
        stage.resume(plan.move)
        where = f"call {number}, {struck}"
        assert stage.record(plan.move).phase in RESTING, where
        if stage.held_in_a_merge(plan.move):
            # It ended between QEMU's switch and libvirt's XML, which no copy of libvirt's tells: but nothing is gone.
            assert any(file.content() == stage.world.drives["vda"].truth for file in stage.world.files.values()), where
            continue
        stage.world.check_copies()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [crash, lose], ids=lambda make: make.__name__)
def test_whatever_hits_a_move_that_waits_for_its_hour_it_is_switched_then(
    tmp_path: Path, make: Callable[[str, str], BaseException], method: Method
) -> None:
    at = 1.5
    calls = {"next", "enter", "job", "domain", "set_sources", "suspend"}

    def guarded(stage: Stage) -> Stage:
        def not_yet() -> None:
            if stage.world.time < at:
                raise ViolationError("the guest is switched before its hour")

        stage.world.before |= {"request_pivot": not_yet, "set_sources": not_yet}
        return stage

    for number, stage, plan, struck in every_call(
        tmp_path,
        make,
        "vda",
        after_effect=False,
        prepare=guarded,
        only=lambda _number, call: call in calls,
        method=method,
        at=Moment(at=NOW + at, zone="UTC"),
    ):
        if untouched(stage, plan):
            continue
        where = f"call {number}, {struck}"
        try:
            assert resumed(stage, plan) in ("done", "held"), where
        except SvmoveError as error:
            raise AssertionError(where) from error


@pytest.mark.parametrize("still_runs", [True, False])
def test_a_guest_that_was_started_when_an_offline_move_had_crashed_has_all_that_it_wrote(
    tmp_path: Path, still_runs: bool
) -> None:
    ends: Counter[str] = Counter()
    for number, stage, plan, struck in every_call(tmp_path, crash, "vda", after_effect=False, method=Method.OFFLINE):
        if untouched(stage, plan):
            continue
        stage.world.faults = Faults()
        stage.world.start_guest()
        stage.world.pass_time(1.0)
        stage.off = not still_runs
        if not still_runs:
            stage.world.stop_guest()
        try:
            ends[resumed(stage, plan)] += 1
        except (AssertionError, SvmoveError) as error:
            raise AssertionError(f"call {number}, {struck}") from error
    assert ends["held"] == 0
    assert min(ends["done"], ends["rolled-back"]) > 5


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_uefi_variables_go_over_with_the_disk_or_stay_with_it_wherever_svmove_dies(
    tmp_path: Path, after_effect: bool
) -> None:
    ends: Counter[str] = Counter()
    targets, method = ("vda", NVRAM), Method.OFFLINE
    for number, stage, plan, struck in every_call(tmp_path, crash, *targets, after_effect=after_effect, method=method):
        if untouched(stage, plan):
            continue
        where = f"call {number}, {struck}"
        assert len({drive.inactive.split("/")[2] for drive in stage.world.drives.values()}) == 1, where
        try:
            ends[resumed(stage, plan)] += 1
        except (AssertionError, SvmoveError) as error:
            raise AssertionError(where) from error
    assert set(ends) <= {"done", "rolled-back"}
    assert ends["done"] > 0.7 * ends.total()


@pytest.mark.parametrize(
    "call", ["set_marker", "start_copy", "make_scratch", "begin_export", "compare", "delete_volume"]
)
def test_what_was_done_before_a_crash_is_not_done_again_but_gone_on_from(tmp_path: Path, call: str) -> None:
    stage = Stage(tmp_path, "vda", "vdb")
    whole = Stage(tmp_path, "vda", "vdb", uuid=next(_UUIDS))
    plan, whole.world.faults = whole.plan(), Faults()
    whole.run(plan)
    plan = stage.plan()
    stage.world.faults = Faults(at=whole.world.faults.calls.index(call) + 1, after_effect=True)
    with pytest.raises(CrashError):
        stage.run(plan)
    assert resumed(stage, plan) == "done"


@pytest.mark.parametrize("method", METHODS)
def test_a_second_crash_while_it_is_resumed_changes_nothing(tmp_path: Path, method: Method) -> None:
    for number, stage, plan, struck in every_call(tmp_path, crash, "vda", after_effect=False, method=method):
        if untouched(stage, plan):
            continue
        stage.world.faults = Faults(at=1 + number % 17, make=crash)
        with suppress(CrashError):
            stage.mover().resume(plan.move)
        assert resumed(stage, plan) in RESTING, f"call {number}, {struck}"
