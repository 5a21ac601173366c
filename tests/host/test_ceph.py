"""What `ceph df detail` says is understood, and the key is on no command line."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from svmove import location
from svmove.host import ceph
from svmove.location import Secret

KEY = b"\x01a secret\xff"
POOL = "rbd://libvirt@10.0.0.1:6789,10.0.0.2/vms?secret-usage=ceph"


def values(secret: Secret) -> bytes:
    assert secret.usage == "ceph"
    return KEY


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `ceph` that says what is in that file, and tells what it was asked."""
    script = tmp_path / "ceph"
    script.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile [ "$1" != --keyfile ]; do shift; done\n'
        f'cat "$2" > {tmp_path}/key\ncat {tmp_path}/said\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "said"


def pools(**stats: Any) -> str:
    return json.dumps({"pools": [{"name": "other", "stats": {"max_avail": 7}}, {"name": "vms", "stats": stats}]})


@pytest.mark.parametrize(
    ("stats", "left"),
    [
        ({"max_avail": 1000, "stored": 10, "quota_bytes": 0}, 1000),
        ({"max_avail": 1000, "stored": 10}, 1000),
        ({"max_avail": 1000, "stored": 10, "quota_bytes": 100}, 90),
        ({"max_avail": 50, "stored": 10, "quota_bytes": 100}, 50),
        ({"max_avail": 1000, "stored": 150, "quota_bytes": 100}, -50),
        ({"max_avail": 0, "stored": 150, "quota_bytes": 0}, 0),
        ({}, None),
    ],
)
def test_what_is_left_is_the_least_of_quota_and_room(said: Path, stats: dict[str, int], left: int | None) -> None:
    said.write_text(pools(**stats))
    for path in (POOL, POOL.replace("/vms", "/vms/web")):
        assert ceph.room(values, location.parse(path)) == left
    asked = (said.parent / "asked").read_text()
    assert "--name client.libvirt" in asked
    assert "-m 10.0.0.1:6789,10.0.0.2" in asked
    encoded = base64.b64encode(KEY).decode()
    assert (said.parent / "key").read_text() == encoded
    assert encoded not in asked


@pytest.mark.parametrize("words", ["", "[]", "{}", "no json"])
def test_an_answer_that_is_none_is_not_known(said: Path, words: str) -> None:
    said.write_text(words)
    assert ceph.room(values, location.parse(POOL)) is None


def test_without_the_command_or_a_user_it_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ceph.room(values, location.parse(POOL)) is None
    assert ceph.room(values, location.parse("rbd://10.0.0.1/vms")) is None
