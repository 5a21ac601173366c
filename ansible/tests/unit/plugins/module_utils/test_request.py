"""A task's parameters as options of svmove."""

from __future__ import annotations

import pytest
from ansible_collections.svmove.svmove.plugins.module_utils import request


def test_nothing_is_said_that_was_not_asked_for():
    assert request.planned({"domain": "web", "to": "fast", "trim": False, "at": None}) == ["--to=fast", "--", "web"]


def test_what_becomes_of_the_source_is_said_as_svmove_has_it():
    assert request.planned({"domain": "web", "to": "fast", "keep_for": "7d"})[:-2] == ["--to=fast", "--keep-for=7d"]
    given = {"domain": "web", "to": "fast", "delete_source": True, "keep_for": None}
    assert request.planned(given)[:-2] == ["--to=fast", "--delete-source"]


def test_a_domain_is_a_domain_even_when_it_looks_like_an_option():
    assert request.planned({"domain": "--keep-source", "to": "b"})[-2:] == ["--", "--keep-source"]


@pytest.mark.parametrize(
    ("disk", "word"),
    [
        ({"target": "vda"}, "vda"),
        ({"target": "vda", "pool": "fast"}, "vda=fast"),
        ({"target": "vda", "pool": "fast", "format": "raw", "name": "a,b"}, "vda=fast,format=raw,name=a,,b"),
        ({"target": "vda", "pool": None, "format": None, "name": "x"}, "vda,name=x"),
    ],
)
def test_a_disk_is_one_word(disk, word):
    assert request.planned({"domain": "web", "disks": [disk]}) == [f"--disk={word}", "--", "web"]


def test_only_a_move_waits_or_goes_into_the_background():
    given = {"domain": "web", "to": "b", "priority": "low", "wait_for_slot": False, "freeze": True}
    assert request.moved(given, detach=True) == [
        "--priority=low",
        "--no-wait",
        "--detach",
        "--to=b",
        "--freeze",
        "--",
        "web",
    ]
    assert "--no-wait" not in request.planned(given)
