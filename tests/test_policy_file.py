"""A policy file: TOML in, a Policy out, or an error that names file and key."""

import dataclasses
from pathlib import Path

import pytest

from svmove.affinity import Group, Pin
from svmove.errors import UsageError
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


def test_every_quantity_of_the_policy_can_be_written_with_its_unit(tmp_path: Path) -> None:
    examples = {"size": "3MiB", "rate": "3MiB/s", "duration": "3s"}
    values = {"size": 3 * MiB, "rate": 3 * MiB, "duration": 3.0}
    for table in dataclasses.fields(Policy):
        if not dataclasses.is_dataclass(getattr(Policy(), table.name)):
            continue
        for key in dataclasses.fields(getattr(Policy(), table.name)):
            if (unit := key.metadata.get("unit")) is None:
                continue
            found = load_policy(written(tmp_path, f'[{table.name}]\n{key.name} = "{examples[unit]}"\n'))
            assert values[unit] == getattr(getattr(found, table.name), key.name)


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
