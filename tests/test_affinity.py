"""What a rule is about."""

from typing import Any

import pytest

from svmove.affinity import AffinityPolicy, Group, Pin, Selection, local_name

TAGS = (("app:app/app:tier", "gold"), ("nova:instance/nova:flavor@name", "m1.large"))


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("app:app/app:tier=gold", True),
        ("tier=gold", True),
        ("tier=g*", True),
        ("tier=silver", False),
        ("name=m1.*", True),
        ("nova:instance/nova:flavor@name=m1.large", True),
        ("flavor=m1.large", False),
    ],
)
def test_metadata_is_named_by_its_path_or_by_its_last_name(text: str, has: bool) -> None:
    assert Selection(metadata=(text,)).has_guest("web", TAGS) is has


def test_guests_and_disks_are_named_by_globs() -> None:
    rule = Selection(guests=("db-[12]",), disks=("web-*/vd[bc]",))
    assert [rule.has_guest(name, ()) for name in ("db-1", "db-3", "web-1")] == [True, False, False]
    assert [rule.has_disk("web-1", target) for target in ("vda", "vdb")] == [False, True]
    assert not rule.has_disk("db-1", "vda")


@pytest.mark.parametrize("wrong", [{}, {"disks": ("vda",)}, {"metadata": ("tier",)}])
def test_a_rule_without_meaning_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rule|GUEST/TARGET|KEY=VALUE"):
        Selection(**wrong)
    with pytest.raises(ValueError, match="pools"):
        Pin(guests=("web",), pools=())


def test_a_rule_is_called_by_its_name_or_by_what_it_is_about() -> None:
    assert Group(guests=("a", "b")).title == "a, b"
    assert Group(guests=("a", "b"), name="the pair").title == "the pair"


def test_the_last_name_of_a_path() -> None:
    assert [local_name(path) for path, _ in TAGS] == ["tier", "name"]
    assert local_name("owner") == "owner"


def test_a_guest_is_concerned_by_rules_that_say_where_it_may_be() -> None:
    rules = AffinityPolicy(apart=(Group(disks=("db/vdb",)),), exclude=(Selection(guests=("web",)),))
    assert rules.concerns("db", ["vda", "vdb"], ())
    assert not rules.concerns("db", ["vda"], ())
    assert not rules.concerns("web", ["vda"], ())
