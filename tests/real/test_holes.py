"""What is empty stays a hole in the copy, whatever the granularity, the buffer and the clusters are; or it is told.

Of guests that do not pass discards on, as most are: of others QEMU empties the destination first.
"""

import os
from pathlib import Path

import pytest

from svmove.host.command import run
from svmove.outcomes import State
from svmove.policy import MirrorPolicy, Policy
from svmove.requests import Format, Method, Request
from svmove.units import KiB, MiB
from tests.real.world import World, disk

_SIZE = 64 * MiB
# A tenth of a second of it, which is what the mirror's buffer is made for, is no whole number of clusters.
_UNEVEN = 25 * MiB + 12345


def guest_with(world: World, image: Path) -> None:
    element = disk(image, format_="qcow2" if image.suffix == ".qcow2" else "raw")
    driver = element.find("driver")
    assert driver is not None
    del driver.attrib["discard"]
    world.guest("thin", element)


def moved(world: World, policy: Policy, **asked: object) -> tuple[int, list[str]]:
    """Bytes that the copy takes, and what was told."""
    request = Request(domain="thin", to="lab-b", bandwidth=_UNEVEN, method=Method.MIRROR, **asked)  # type: ignore[arg-type]
    outcome = world.mover(policy=policy).move(request)
    assert (outcome.state, outcome.disks[0].verified) == (State.DONE, True), outcome.error
    return world.path("vda", "thin").stat().st_blocks * 512, [finding.code for finding in outcome.findings]


@pytest.mark.parametrize(
    ("options", "granularity"),
    [("cluster_size=64k", 4 * KiB), ("cluster_size=2M", None), ("cluster_size=128k,extended_l2=on", None)],
)
def test_a_qcow2_is_as_thin_as_before(world: World, options: str, granularity: int | None) -> None:
    image = world.image("thin.qcow2", "64M", "qcow2", "-o", options)
    run(["qemu-io", "-c", "write -q -P 7 8M 4M", "-c", "write -q -P 7 28M 4k", str(image)])
    before = image.stat().st_blocks * 512
    guest_with(world, image)
    after, told = moved(world, Policy(mirror=MirrorPolicy(granularity=granularity)))
    assert after <= before + 128 * KiB
    assert "thinness" not in told


@pytest.mark.parametrize(("granularity", "fills"), [(None, False), (4 * KiB, True)])
def test_of_a_raw_one_in_qcow2_its_holes_are_filled_where_that_was_told(
    world: World, granularity: int | None, fills: bool
) -> None:
    image = world.lab.paths.pool("lab-a") / "thin.img"
    with image.open("wb") as file:
        file.truncate(_SIZE)
        for at in range(0, _SIZE, 4 * MiB):
            file.seek(at + 12 * KiB)
            file.write(os.urandom(8 * KiB))
    world.virsh("pool-refresh", "lab-a")
    guest_with(world, image)
    after, told = moved(world, Policy(mirror=MirrorPolicy(granularity=granularity)), format=Format.QCOW2)
    assert ("thinness" in told, after > _SIZE / 2) == (fills, fills), after
