"""What the volumes of a pool are promised together, as it is seen when a move is planned."""

from dataclasses import replace
from pathlib import Path

from svmove.policy import Policy, SpacePolicy
from tests.builders import pool
from tests.fake import BLOCK, BLOCKS
from tests.move.stage import Stage

DISK = BLOCKS * BLOCK


def test_all_volumes_of_the_destination_count_and_only_where_the_policy_has_a_limit(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.world.pools = {name: pool(name, capacity=3 * DISK) for name in ("slow", "fast")}
    for name in ("a", "b"):
        stage.world.make_file(f"/pools/fast/{name}.qcow2")
    stage.policy = replace(Policy(), space=SpacePolicy(overcommit=1.0))
    assert [finding.code for finding in stage.plan().findings] == []
    stage.world.make_file("/pools/fast/c.qcow2")
    assert [finding.code for finding in stage.plan().findings] == ["overcommitted"]
    stage.policy = Policy()
    assert [finding.code for finding in stage.plan().findings] == []
    assert "survey" not in stage.world.faults.calls[-20:]
