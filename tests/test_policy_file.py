"""A policy file: TOML in, a Policy out, or an error that names file and key."""

import dataclasses
import json
from pathlib import Path

import pytest

from svmove.affinity import Group, Pin
from svmove.budgets import PoolPolicy, SlotsPolicy
from svmove.errors import UsageError
from svmove.layers.entries import entries
from svmove.layers.fault import PolicyError
from svmove.layers.judge import judge
from svmove.policy import MovePolicy, Policy
from svmove.policy_file import load_policy
from svmove.units import GiB, KiB, MiB


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_the_default_policy(tmp_path: Path) -> None:
    assert Policy() == load_policy(written(tmp_path, ""))


def test_what_is_written_replaces_the_default_and_nothing_else(tmp_path: Path) -> None:
    text = '[move]\nmax_pause = "500ms"\ncutover_attempts = 5\nbandwidth = "100MiB/s"\n'
    text += '[mirror]\ngranularity = "4KiB"\n[space]\nreserve = "1GiB"\n[paths]\nscratch = "/scratch"\n'
    found = load_policy(written(tmp_path, text))
    expected = dataclasses.replace(
        Policy(),
        move=MovePolicy(max_pause=0.5, cutover_attempts=5, bandwidth=100 * MiB),
        mirror=dataclasses.replace(Policy().mirror, granularity=4 * KiB),
        space=dataclasses.replace(Policy().space, reserve=GiB),
        paths=dataclasses.replace(Policy().paths, scratch="/scratch"),
    )
    assert expected == found


def test_what_is_said_of_one_pool_is_its_own(tmp_path: Path) -> None:
    text = '[slots]\nhost = 4\nageing = "1h"\n[pools.fast]\nslots = 3\nbandwidth = "1GiB/s"\n'
    text += '[pools."old one"]\nshared = true\n'
    found = load_policy(written(tmp_path, text))
    assert found.slots == SlotsPolicy(host=4, pool=8, ageing=3600.0)
    assert found.pools == {"fast": PoolPolicy(slots=3, bandwidth=GiB), "old one": PoolPolicy(shared=True)}


def test_every_key_of_the_policy_reads_back_what_the_default_is_written_as(tmp_path: Path) -> None:
    for entry in entries(Policy(), ()):
        table, _, key = entry.key.rpartition(".")
        heading = f"[{table}]\n" if table else ""
        assert load_policy(written(tmp_path, f"{heading}{key} = {json.dumps(entry.written)}\n")) == Policy()


def test_the_layers_of_a_policy_lie_one_over_the_other(tmp_path: Path) -> None:
    below, above = tmp_path / "below.toml", tmp_path / "above.toml"
    below.write_text('[move]\nmax_pause = "1s"\ndeadline = "1h"\n')
    above.write_text('[move]\nmax_pause = "3s"\n')
    assert load_policy(below, above).move == MovePolicy(max_pause=3.0, deadline=3600.0)
    assert load_policy() == Policy()


def test_the_defaults_do_not_contradict_themselves() -> None:
    assert judge((), Policy) == (Policy(), ())


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("[move]\npivot_reserve = '3s'\n", "move.pivot_reserve", 2),
        ("[move]\nmax_pause = '200ms'\n", "move.max_pause", 2),
        ("[converge]\nlongest_pause = '1s'\n", "converge.longest_pause", 2),
        ("[move]\nmax_pause = '20s'\n[converge]\nat_deadline = 'longer-pause'\n", "move.max_pause", 2),
        ("[converge]\nsteps = ['throttle', 'throttle']\n", "converge.steps", 2),
        ("[retry]\nfirst_wait = '6s'\n", "retry.first_wait", 2),
        ("[mirror]\ngranularity = '3KiB'\n", "mirror.granularity", 2),
        ("[verify]\nslice = '1KiB'\n", "verify.slice", 2),
    ],
)
def test_a_contradiction_is_told_with_its_line(tmp_path: Path, text: str, key: str, line: int) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(written(tmp_path, text))
    (fault,) = caught.value.faults
    assert (fault.key, fault.line) == (key, line)
    assert fault.remedy


def test_a_pause_longer_than_the_longest_by_default_is_no_contradiction(tmp_path: Path) -> None:
    assert load_policy(written(tmp_path, "[move]\nmax_pause = '20s'\n")).move.max_pause == 20.0


def test_several_mistakes_are_one_error_that_has_them_all(tmp_path: Path) -> None:
    path = written(tmp_path, "[move]\nmax_pauze = '2s'\n[space]\nreserve = 1\n")
    with pytest.raises(UsageError) as caught:
        load_policy(path, tmp_path / "none.toml")
    said = caught.value.text
    assert all(
        word in said for word in ("3 errors", f"{path}:2: ", f"{path}:4: ", "did you mean max_pause", "none.toml")
    )


def test_rules_and_pools_are_tables_of_their_own(tmp_path: Path) -> None:
    text = """
        [space]
        overcommit = 3.0
        [pools.fast]
        reserve = "20GiB"
        overcommit = 1.5
        [affinity]
        closed = ["old-*"]
        [[affinity.apart]]
        name = "the cluster"
        guests = ["db-*"]
        [[affinity.pin]]
        metadata = ["tier=gold"]
        pools = ["ssd-*"]
    """
    found = load_policy(written(tmp_path, text))
    assert found.reserve("fast") == 20 * GiB
    assert found.reserve("slow") == found.space.reserve
    assert [found.overcommit(name) for name in ("fast", "slow")] == [1.5, 3.0]
    assert found.affinity.closed == ("old-*",)
    assert found.affinity.apart == (Group(name="the cluster", guests=("db-*",)),)
    assert found.affinity.pin == (Pin(metadata=("tier=gold",), pools=("ssd-*",)),)


@pytest.mark.parametrize(
    "text",
    [
        "[[affinity.apart]]\nname = 'nobody'\n",
        "[[affinity.apart]]\nguests = ['a']\npool = 'x'\n",
        "[[affinity.pin]]\nguests = ['a']\n",
        "[pools.fast]\nreserve = 20\n",
        "[pools.fast]\nresreve = '1GiB'\n",
        "[pools.fast]\novercommit = 0\n",
        "[balance]\nfill = 1.5\n",
        "[space]\ngrowth = -1\n",
    ],
)
def test_a_rule_or_a_pool_without_meaning_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"affinity|pools|balance|space"):
        load_policy(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[move]\nmax_pauze = '2s'\n", "move.max_pauze"),
        ("[moves]\n", "moves"),
        ("[move]\nmax_pause = 2\n", "move.max_pause: 2 has no unit"),
        ("[move]\nmax_pause = '2'\n", "move.max_pause"),
        ("[move]\nmax_pause = '0s'\n", "move.max_pause"),
        ("[move]\nmax_pause = '2GiB'\n", "move.max_pause"),
        ("[move]\ncutover_attempts = 'many'\n", "move.cutover_attempts"),
        ("[space]\nreserve = '1GiB/s'\n", "space.reserve"),
        ("move = 3\n", "move"),
        ("[paths]\nscratch = 3\n", "paths.scratch"),
        ("move = [", "not TOML"),
        ("[slots]\nhost = 0\n", "slots"),
        ("[pools.fast]\nslots = 0\n", "pools.fast"),
        ("[pools.fast]\nslot = 1\n", "pools.fast.slot"),
        ("[pools.fast]\nbandwidth = 1\n", "pools.fast.bandwidth: 1 has no unit"),
        ("[pools]\nfast = 1\n", "pools.fast"),
        ("[move]\nmax_pause = '2s'\nmax_pause = '3s'\n", ":3: not TOML"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    assert str(path) in caught.value.text
    assert said in caught.value.text


def test_a_file_that_is_not_there_is_a_usage_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as caught:
        load_policy(tmp_path / "none.toml")
    assert caught.value.remedy is not None


def test_a_file_that_is_not_utf_8_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"[move]\nx = '\xff'\n")
    with pytest.raises(UsageError, match="not TOML"):
        load_policy(path)


def test_a_policy_can_not_be_changed_in_passing() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().move.max_pause = 100.0  # type: ignore[misc]
