"""The verification finds what is wrong; nothing is deleted then."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from svmove.cli.exits import Exit, of_outcome
from svmove.errors import HypervisorError
from svmove.outcomes import Mismatch, State
from svmove.policy import MovePolicy, Policy, SpacePolicy, VerifyPolicy
from svmove.requests import Request, Verify
from svmove.units import KiB, MiB
from tests.real.faults.points import Around, wrapped
from tests.real.world import World, disk

_AT = 5 * MiB + 4096


def corrupting(destination: Path) -> Around:
    """Just before the export begins, bytes of the destination change underneath."""

    def around(name: str, method: Any, args: Any, kwargs: Any) -> Any:
        if name == "begin_export":
            with destination.open("r+b") as file:
                file.seek(_AT)
                file.write(b"rot" * 10)
        return method(*args, **kwargs)

    return around


def unable(name: str, method: Any, args: Any, kwargs: Any) -> Any:
    if name == "begin_export":
        raise HypervisorError("no export today")
    return method(*args, **kwargs)


def small(world: World) -> Path:
    path = world.image("small.img", "16M", "raw")
    path.write_bytes(b"\x5a" * (16 * MiB))
    world.guest("small", disk(path, format_="raw"))
    return path


def test_a_corrupted_destination_is_found_and_both_copies_are_kept(world: World) -> None:
    source = small(world)
    around = corrupting(world.lab.paths.pool("lab-b") / "small.img")
    mover = wrapped(world, around, policy=Policy(verify=VerifyPolicy(slice=3 * MiB)))

    outcome = mover.move(Request(domain="small", to="lab-b"))

    assert (outcome.state, of_outcome(outcome)) == (State.HELD, Exit.HELD)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.guest_on) == ("mismatch", "destination")
    assert outcome.disks[0].mismatches == (Mismatch(offset=5 * MiB, length=64 * KiB),)
    assert (outcome.disks[0].verified, source.exists(), world.where("small")) == (False, True, {"vda": "lab-b"})
    assert world.virsh("domstate", "small") == "running"
    # Nothing goes on by itself; a person decides.
    assert world.cli("resume", "--json").document["state"] == "held"
    assert world.cli.move("small", "--to", "lab-a").codes[0] == "move-running"
    accepted = world.cli("accept", outcome.move or "", "--yes", "--json")
    assert (accepted.code, accepted.document["state"], source.exists()) == (0, "done", False)
    assert world.domain("small").marker is None


def test_without_an_export_the_move_is_held_unverified(world: World) -> None:
    source = small(world)

    outcome = wrapped(world, unable).move(Request(domain="small", to="lab-b"))

    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.HELD, "unverified")
    assert (source.exists(), world.where("small")) == (True, {"vda": "lab-b"})


def test_without_verification_nothing_is_compared_and_the_plan_says_so(world: World) -> None:
    source = small(world)
    around = corrupting(world.lab.paths.pool("lab-b") / "small.img")

    outcome = wrapped(world, around).move(Request(domain="small", to="lab-b", verify=Verify.NONE))

    assert (outcome.state, outcome.disks[0].verified, source.exists()) == (State.DONE, False, False)
    assert [finding.code for finding in outcome.findings] == ["not-verified"]


def test_too_little_scratch_space_is_refused_before_anything_happens(world: World) -> None:
    small(world)
    policy = Policy(space=SpacePolicy(scratch_reserve=1 << 60))

    outcome = world.mover(policy=policy).move(Request(domain="small", to="lab-b"))

    assert (outcome.state, outcome.findings[0].code) == (State.REFUSED, "no-scratch")


class NeverDrained:
    """While the guest stands still there is always something left to copy."""

    suspended = False

    def around(self, name: str, method: Any, args: Any, kwargs: Any) -> Any:
        found = method(*args, **kwargs)
        if name in ("suspend", "resume"):
            self.suspended = name == "suspend"
        if name == "job" and found is not None and self.suspended:
            return replace(found, end=found.done + 1)
        return found


def test_a_drain_that_does_not_fit_leaves_the_guest_on_its_source(world: World) -> None:
    source = small(world)
    policy = Policy(move=MovePolicy(max_pause=0.4, attempt_wait=0.05))

    outcome = wrapped(world, NeverDrained().around, policy=policy).move(Request(domain="small", to="lab-b"))

    assert (outcome.state, of_outcome(outcome)) == (State.ROLLED_BACK, Exit.ROLLED_BACK)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.guest_on) == ("pause-exceeded", "source")
    assert 0 < outcome.seconds.pause < 0.4
    assert (world.virsh("domstate", "small"), world.where("small")) == ("running", {"vda": "lab-a"})
    assert {path for path in world.files() if path.name == "small.img"} == {source}
