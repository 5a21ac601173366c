"""Layers checked and put together, with tables of any shape: the policy's own are in tests/test_policy_file.py."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from svmove.layers.entries import entries
from svmove.layers.judge import judge
from svmove.layers.stack import Layer, read
from svmove.objections import Objection
from svmove.units import GiB, MiB


class Color(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: str
    rate: int | None = field(default=None, metadata={"unit": "rate"})
    from_: str = "here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    size: int = field(metadata={"unit": "size"})
    color: Color = Color.RED
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    low: float = field(default=1.0, metadata={"unit": "duration"})
    high: float = field(default=5.0, metadata={"unit": "duration"})
    tries: int = field(default=3, metadata={"least": 1})
    waits: tuple[float, ...] = field(default=(), metadata={"unit": "duration"})

    def objections(self) -> Iterator[Objection]:
        if self.low > self.high:
            yield Objection(keys=("low", "high"), text="is above high", remedy="write less")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    limits: Limits = Limits()
    pools: dict[str, Budget] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def objections(self) -> Iterator[Objection]:
        for number, one in enumerate(self.parts):
            if any(one.name == other.name for other in self.parts[:number]):
                yield Objection(keys=(("parts", number, "name"),), text="is there twice", remedy="leave one out")


def layers(folder: Path, *texts: str) -> tuple[Layer, ...]:
    for number, text in enumerate(texts):
        (folder / f"{number}.toml").write_text(text)
    found, unread = read(folder / f"{number}.toml" for number in range(len(texts)))
    assert unread == ()
    return found


def told(folder: Path, *texts: str) -> list[tuple[str, int | None, str | None]]:
    """File, line and key of each."""
    made, wrong = judge(layers(folder, *texts), Root)
    assert (made is None) == bool(wrong)
    return [(Path(fault.layer).name, fault.line, fault.key) for fault in wrong]


def made(folder: Path, *texts: str) -> Root:
    found, wrong = judge(layers(folder, *texts), Root)
    assert wrong == ()
    assert isinstance(found, Root)
    return found


def test_tables_of_any_shape_become_the_dataclasses(tmp_path: Path) -> None:
    text = """
    [pools.fast]
    size = "1GiB"
    color = "green"
    parts = [{name = "a", rate = "1MiB/s", from = "there"}, {name = "b", rate = "none"}]
    [limits]
    waits = ["1s", "2min"]
    """
    parts = (Part(name="a", rate=MiB, from_="there"), Part(name="b"))
    expected = Root(pools={"fast": Budget(size=GiB, color=Color.GREEN, parts=parts)}, limits=Limits(waits=(1.0, 120.0)))
    assert expected == made(tmp_path, text)


def test_tables_merge_by_key_and_lists_replace(tmp_path: Path) -> None:
    below = '[limits]\nlow="2s"\nwaits=["1s","2s"]\n[pools.fast]\nsize="1GiB"\n[pools.slow]\nsize="1MiB"\n'
    above = '[limits]\nwaits=["3s"]\n[pools.fast]\ncolor="green"\n'
    found = made(tmp_path, below, above)
    assert found.limits == Limits(low=2.0, waits=(3.0,))
    assert found.pools == {"fast": Budget(size=GiB, color=Color.GREEN), "slow": Budget(size=MiB)}


def test_none_takes_back_what_a_layer_below_says(tmp_path: Path) -> None:
    below, above = '[[parts]]\nname="a"\nrate="1MiB/s"\n', '[[parts]]\nname="a"\nrate="none"\n'
    assert made(tmp_path, below, above).parts[0].rate is None


def test_all_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
[limits]
lows = "1s"
high = 5
tries = 0
waits = ["1s",
         "soon"]
[pools.fast]
color = "blue"
[[pools.slow.parts]]
rate = "1MiB"
[[parts]]
name = "a"
form = "x"
[[parts]]
[nothing]
"""
    assert told(tmp_path, text) == [
        ("0.toml", 2, "limits.lows"),
        ("0.toml", 3, "limits.high"),
        ("0.toml", 4, "limits.tries"),
        ("0.toml", 6, "limits.waits[1]"),
        ("0.toml", 7, "pools.fast.size"),
        ("0.toml", 8, "pools.fast.color"),
        ("0.toml", 9, "pools.slow.size"),
        ("0.toml", 9, "pools.slow.parts[0].name"),
        ("0.toml", 10, "pools.slow.parts[0].rate"),
        ("0.toml", 13, "parts[0].form"),
        ("0.toml", 14, "parts[1].name"),
        ("0.toml", 15, "nothing"),
    ]


def test_a_contradiction_is_told_beside_other_mistakes(tmp_path: Path) -> None:
    text = '[limits]\nlow = "6s"\nhigh = "5s"\ntries = "x"\n[pools.fast]\n[[parts]]\nname="a"\n[[parts]]\nname="a"\n'
    assert told(tmp_path, text) == [
        ("0.toml", 2, "limits.low"),
        ("0.toml", 4, "limits.tries"),
        ("0.toml", 5, "pools.fast.size"),
        ("0.toml", 9, "parts[1].name"),
    ]


def test_nothing_is_said_of_what_a_mistake_would_contradict(tmp_path: Path) -> None:
    assert told(tmp_path, '[limits]\nlow = "6s"\nhigh = 9\n') == [("0.toml", 3, "limits.high")]


def test_what_is_missing_in_one_layer_may_be_in_another(tmp_path: Path) -> None:
    assert made(tmp_path, '[pools.fast]\ncolor="green"\n', '[pools.fast]\nsize="1GiB"\n').pools["fast"].size == GiB


def test_a_mistake_that_a_higher_layer_hides_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, '[limits]\nlow = "x"\n', '[limits]\nlow = "2s"\n') == [("0.toml", 2, "limits.low")]


def test_a_contradiction_between_layers_has_both_places(tmp_path: Path) -> None:
    below, above = '[limits]\nhigh = "3s"\n', '\n[limits]\nlow = "4s"\n'
    _, (fault,) = judge(layers(tmp_path, below, above), Root)
    assert (Path(fault.layer).name, fault.line, fault.key) == ("1.toml", 3, "limits.low")
    assert fault.text == f"is above high (limits.high: {tmp_path}/0.toml:2)"


def test_a_contradiction_with_a_default_is_told_where_something_is_written(tmp_path: Path) -> None:
    _, (fault,) = judge(layers(tmp_path, '[limits]\nhigh = "500ms"\n'), Root)
    assert (fault.line, fault.key) == (2, "limits.high")
    assert fault.text == "limits.low is above high (limits.low: by default)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[limits]\nlwo = "1s"\n', "did you mean low?"),
        ('[limits]\nxxx = "1s"\n', "write one of: low, high, tries, waits"),
        ("[limits]\nlow = 1\n", 'write it as in "500ms"'),
        ('[limits]\nlow = "1"\n', "write a number and a unit"),
        ('[pools.fast]\nsize="1GiB"\ncolor="gren"\n', "did you mean green?"),
        ("[limits]\ntries = 0\n", "write 1 or more"),
        ("[limits]\ntries = true\n", "write a whole number, such as 3"),
        ("[limits]\ntries = '3'\n", "write a whole number, such as 3"),
        ("[limits]\nwaits = '3s'\n", "write a list, such as [...]"),
        ("limits = 3\n", "write a table"),
        ("[[parts]]\nname = 3\n", 'write a text, such as "..."'),
    ],
)
def test_each_mistake_has_its_remedy(tmp_path: Path, text: str, said: str) -> None:
    _, (fault,) = judge(layers(tmp_path, text), Root)
    assert said in (fault.remedy or "")
    assert fault.line is not None


def test_each_key_in_force_is_told_with_its_place(tmp_path: Path) -> None:
    below = '[limits]\nlow="2s"\nhigh="90s"\n[pools."a.b"]\nsize="1536MiB"\n'
    above = '[limits]\nlow="1500ms"\n[[parts]]\nname="a"\n'
    option = Layer(name="--tries", document={"limits": {"tries": 9}})
    found = (*layers(tmp_path, below, above), option)
    policy, wrong = judge(found, Root)
    assert wrong == ()
    shown: dict[str, Any] = {
        one.key: (one.written, one.number, Path(one.layer.name).name if one.layer else None, one.line)
        for one in entries(policy, found)
    }
    assert shown == {
        "limits.low": ("1500ms", 1.5, "1.toml", 2),
        "limits.high": ("90s", 90.0, "0.toml", 3),
        "limits.tries": (9, None, "--tries", None),
        "limits.waits": ([], None, None, None),
        'pools."a.b".size': ("1536MiB", 1536 * MiB, "0.toml", 5),
        'pools."a.b".color': ("red", None, None, None),
        'pools."a.b".parts': ([], None, None, None),
        "parts[0].name": ("a", None, "1.toml", 4),
        "parts[0].rate": ("none", None, None, None),
        "parts[0].from": ("here", None, None, None),
    }
