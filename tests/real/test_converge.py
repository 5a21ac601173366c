"""A guest that writes faster than it is copied: virsh is never ready there, and svmove ends.

600 random writes of 4 KiB a second touch 150 MiB/s of granules of 256 KiB; the copy has 12 MiB/s. So it holds when the
machine is so busy that the guest writes a tenth of that (of 64 KiB, 200 a second were copied: 12 busy loops on two
cores sufficed).
"""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from svmove.lab import DiskSpec, GuestSpec, report
from svmove.lab.specs import FIO_REGION
from svmove.lab.watch import Watch
from svmove.model import Tuning
from svmove.units import MiB
from tests.real.cli import Result, finished
from tests.real.world import GUEST, Place, World, passable, until

WRITER = "lab-writer"
_EXTENTS = ((FIO_REGION[0], FIO_REGION[1] - FIO_REGION[0]),)
_SPEC = GuestSpec(
    name=WRITER,
    operating_system=True,
    memory=384 * MiB,
    write_iops=600,
    disks=tuple(DiskSpec(target=target, capacity=192 * MiB, extents=_EXTENTS) for target in ("vda", "vdb")),
)
# svmove would choose 4 KiB, and have an easy life.
_COARSE = '[mirror]\ngranularity = "256KiB"\n'


@dataclass(frozen=True, kw_only=True)
class Writer:
    world: World

    def words(self, *more: str, steps: str, coarse: bool = True, converge: str = "") -> list[str]:
        policy = self.world.folder / "policy.toml"
        floors = 'floor_iops = 20\nfloor_rate = "128KiB/s"\n'
        policy.write_text((_COARSE if coarse else "") + f"[converge]\nsteps = {steps}\n{floors}{converge}\n")
        to = self.world.other("vda", WRITER)
        method = [] if "--method" in more else ["--method", "mirror"]  # what auto would pick needs no steps
        move = ["move", WRITER, "--to", to, "--disk", "vda", "--bandwidth", "12MiB/s", "--json", *method, *more]
        return ["--policy", str(policy), *move]

    @property
    def console(self) -> Path:
        return self.world.lab.paths.console(WRITER)

    def tuning(self, target: str) -> Tuning:
        return self.world.hypervisor.tuning(self.world.domain(WRITER).uuid, target)

    def limits(self) -> dict[str, int]:
        return dict(self.tuning("vda").limits)

    def held_back(self, process: "subprocess.Popen[str]") -> None:
        """Waits until its writes are. The first pass and the evidence take 15 s, and more on a busy machine."""

        def holds() -> bool:
            assert process.poll() is None, f"ended before that: {finished(process)}"
            return "write_iops_sec" in self.limits()

        until(holds, "the writes are held back", seconds=120)
        limits = self.limits()
        assert limits["write_iops_sec"] < 600
        assert limits["read_iops_sec"] + limits["write_iops_sec"] == 5000

    def check(self) -> None:
        """It wrote, and read back all as it had written it."""

        def last() -> dict[str, report.Sample]:
            return report.latest(report.read(self.world.lab.paths.console(WRITER))[0])

        before = last()
        until(lambda: last()["vda"].writes > before["vda"].writes, "the guest writes on")
        assert [sample.errors for sample in last().values()] == [0, 0]


@pytest.fixture(scope="module")
def guest_that_writes(lab_place: Place) -> Iterator[World]:
    """The lab's own guest stands meanwhile: both would be too much for two cores."""
    with tempfile.TemporaryDirectory(prefix="svmove-test-", dir="/var/tmp") as folder:
        world, lab = World(lab_place, passable(Path(folder))), lab_place.lab
        world.virsh("suspend", GUEST)
        try:
            lab.add_guest(_SPEC)
            until(lambda: len(report.latest(report.read(lab.paths.console(WRITER))[0])) == 2, "the guest writes")
            yield world
        finally:
            world.cli.end()
            lab.remove_guest(WRITER)
            world.virsh("resume", GUEST)
            for pool in ("lab-a", "lab-b"):
                # In both, since a test that failed may have left a copy half-way.
                for path in lab.paths.pool(pool).glob(f"{WRITER}-*"):
                    path.unlink()
                world.virsh("pool-refresh", pool)
            world.hypervisor.close()


@pytest.fixture
def writer(guest_that_writes: World) -> Iterator[Writer]:
    """With limits of its own, which it must have again in the end."""
    world = guest_that_writes
    world.virsh("blkdeviotune", WRITER, "vda", "--total-iops-sec", "5000", "--read-bytes-sec", "900000000", "--live")
    made = Writer(world=world)
    yield made
    made.world.cli.end()
    made.check()
    assert made.limits() == {"total_iops_sec": 5000, "read_bytes_sec": 900000000}
    assert "iotune" not in world.virsh("dumpxml", WRITER, "--inactive")


def ended(result: Result) -> set[str]:
    assert (result.code, result.document["disks"][0]["verified"]) == (0, True), result.stdout + result.stderr
    return {finding["code"] for finding in result.document["findings"]} - {"known-bad"}


def test_a_synchronous_copy_is_ready_after_its_first_pass(writer: Writer) -> None:
    result = writer.world.cli(*writer.words("--method", "synchronous", steps="[]"))
    assert ended(result) == set()
    assert result.document["seconds"]["copy"] < 15  # 64 MiB at 12 MiB/s


def test_the_granularity_that_its_writes_ask_for_is_ready_after_the_first_pass_as_well(writer: Writer) -> None:
    before = writer.world.path("vda", WRITER).stat().st_blocks
    result = writer.world.cli(*writer.words(steps="[]", coarse=False))
    assert ended(result) == set()
    assert result.document["seconds"]["copy"] < 20
    assert writer.world.path("vda", WRITER).stat().st_blocks <= before * 1.05  # its holes stay


@pytest.mark.fault
def test_its_writes_are_held_back_until_the_copy_has_caught_up(writer: Writer) -> None:
    process = writer.world.cli.start(*writer.words(steps='["throttle"]'))
    writer.held_back(process)
    assert ended(finished(process)) == {"guest-throttled"}


@pytest.mark.fault
def test_it_is_suspended_for_the_rest_when_that_fits_in_the_pause(writer: Writer) -> None:
    result = writer.world.cli(*writer.words("--max-pause", "20s", steps='["suspend"]'))
    assert ended(result) == {"suspended-to-finish"}
    assert result.document["seconds"]["pause"] < 20


@pytest.mark.fault
def test_its_copy_is_begun_again_with_synchronous_writes(writer: Writer) -> None:
    assert ended(writer.world.cli(*writer.words(steps='["synchronous"]'))) == {"begun-again"}


@pytest.mark.fault
def test_when_nothing_is_left_to_do_it_is_given_up_early_with_the_figures(writer: Writer) -> None:
    before = writer.world.path("vda", WRITER)
    result = writer.world.cli(*writer.words("--max-pause", "400ms", steps='["suspend"]'))
    assert (result.code, result.document["state"], result.codes) == (4, "rolled-back", ["never-ready"])
    assert "MiB/s dirty" in result.document["error"]["text"]
    assert result.document["seconds"]["total"] < 40
    assert writer.world.path("vda", WRITER) == before


@pytest.mark.fault
def test_at_the_deadline_it_stands_for_the_rest_if_a_longer_pause_is_allowed_then(writer: Writer) -> None:
    """12 s: after the first pass of 6 s, before anything else would be done. 20 s: all of the disk would fit."""
    longer = 'at_deadline = "longer-pause"\nlongest_pause = "20s"'
    words = writer.words("--deadline", "12s", "--max-pause", "1s", steps="[]", converge=longer)
    with Watch(writer.console) as watch:
        result = writer.world.cli(*words)
    assert ended(result) == {"suspended-to-finish"}
    seconds = result.document["seconds"]
    assert 12 < seconds["total"] < 60
    assert watch.pause is not None
    assert watch.pause.suspended <= seconds["pause"] + 0.1
    assert 0 < seconds["pause"] < 20


def test_at_the_deadline_it_is_rolled_back_if_the_rest_does_not_fit_in_that_pause_either(writer: Writer) -> None:
    before = writer.world.path("vda", WRITER)
    longer = 'at_deadline = "longer-pause"\nlongest_pause = "2s"'
    words = writer.words("--deadline", "12s", "--max-pause", "1s", steps="[]", converge=longer)
    result = writer.world.cli(*words)
    assert (result.code, result.document["state"], result.codes) == (4, "rolled-back", ["deadline-exceeded"])
    assert 12 < result.document["seconds"]["total"] < 30
    assert not result.document["seconds"]["pause"]
    assert writer.world.path("vda", WRITER) == before


@pytest.mark.fault
def test_a_disk_that_shares_its_limits_is_not_held_back_and_the_next_step_is_taken(writer: Writer) -> None:
    world = writer.world
    for target in ("vda", "vdb"):
        world.virsh("blkdeviotune", WRITER, target, "--group-name", "both", "--total-iops-sec", "5000", "--live")
    groups = {target: writer.tuning(target) for target in ("vda", "vdb")}
    assert {tuning.group for tuning in groups.values()} == {"both"}
    try:
        words = writer.words("--max-pause", "20s", steps='["throttle", "suspend"]')
        process = world.cli.start(*(word for word in words if word != "--json"))
        seen = list[Tuning]()
        while process.poll() is None:
            seen.append(writer.tuning("vda"))
            time.sleep(0.2)
        result = finished(process)
        assert result.code == 0, result.stdout + result.stderr
        assert "shares its limits (group both) with vdb" in result.stdout + result.stderr
        assert {target: writer.tuning(target) for target in groups} == groups
        assert all(tuning == groups["vda"] for tuning in seen)
    finally:
        for target in ("vda", "vdb"):
            world.virsh("blkdeviotune", WRITER, target, "--group-name", target, "--live")


@pytest.mark.fault
def test_a_cancelled_move_gives_its_limits_back(writer: Writer) -> None:
    process = writer.world.cli.start(*writer.words(steps='["throttle"]'))
    writer.held_back(process)
    writer.world.cli("cancel", writer.world.domain(WRITER).marker or "", "--json")
    assert finished(process).code == 130


def test_a_guest_whose_svmove_was_killed_has_its_own_limits_within_seconds_and_the_move_goes_on(
    writer: Writer,
) -> None:
    process = writer.world.cli.start(*writer.words(steps='["throttle"]'))
    writer.held_back(process)
    process.send_signal(signal.SIGKILL)
    finished(process)
    until(lambda: "write_iops_sec" not in writer.limits(), "the guard has put them back", seconds=5)
    policy = str(writer.world.folder / "policy.toml")
    policy_steps: list[Any] = ["--policy", policy, "resume", writer.world.domain(WRITER).marker or "", "--json"]
    assert "guest-throttled" in ended(writer.world.cli(*policy_steps))


@pytest.mark.fault
def test_virsh_is_never_ready_there(writer: Writer) -> None:
    world = writer.world
    to = world.lab.paths.pool(world.other("vda", WRITER)) / "virsh.qcow2"
    command = ["virsh", "-c", world.lab.uri, "blockcopy", WRITER, "vda", "--dest", str(to), "--format", "qcow2"]
    command += ["--transient-job", "--bandwidth", "12", "--wait", "--pivot", "--timeout", "25"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    try:
        assert "aborted" in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
        assert time.monotonic() - began >= 25
    finally:
        to.unlink(missing_ok=True)
        world.virsh("pool-refresh", to.parent.name)
