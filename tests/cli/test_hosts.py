"""Commands that are about several hosts."""

import json
from pathlib import Path

import pytest

from svmove.cli.context import Options
from svmove.cli.exits import Exit
from svmove.cli.hosts import Show, each, each_documented, resolve
from svmove.cli.main import run
from svmove.errors import RefusedError, UnreachableError, UsageError

INVENTORY = {"db1": "qemu+ssh://db1/system", "db2": "qemu+ssh://admin@db2/system", "web": "qemu:///system"}


def given(*connect: str) -> Options:
    return Options(connect=connect, policy=None, journal=None, verbose=False)


def test_a_name_a_glob_and_a_uri_name_hosts_and_each_counts_once() -> None:
    found = resolve(["db2", "db*", "qemu+ssh://me@far:22/system", "qemu:///system"], INVENTORY)
    assert [(host.name, host.uri) for host in found] == [
        ("db2", "qemu+ssh://admin@db2/system"),
        ("db1", "qemu+ssh://db1/system"),
        ("far", "qemu+ssh://me@far:22/system"),
        ("localhost", "qemu:///system"),
    ]


def test_a_name_that_the_policy_does_not_know_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no host 'dbl'") as caught:
        resolve(["dbl"], INVENTORY)
    assert "db1" in (caught.value.remedy or "")
    with pytest.raises(UsageError, match="no host 'db1'") as caught:
        resolve(["db1"], {})
    assert "qemu+ssh://" in (caught.value.remedy or "")


def test_a_command_for_one_host_refuses_several() -> None:
    with pytest.raises(UsageError, match="2 are named: localhost, far"):
        _ = given("qemu:///system", "qemu+ssh://far/system").uri


def test_what_one_host_complains_of_keeps_no_other_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def work(host: str, options: Options) -> Exit:
        seen.append(options.uri)
        if host == "b":
            raise UnreachableError("b is gone", remedy="look")
        return Exit.REFUSED if host == "c" else Exit.OK

    assert each(given("x://a/s", "x://b/s", "x://c/s"), work) == Exit.UNREACHABLE
    assert seen == ["x://a/s", "x://b/s", "x://c/s"]
    assert capsys.readouterr().err == "b: b is gone (look)\n"


def test_who_interrupts_it_on_one_host_has_no_other_one_begun() -> None:
    seen: list[str] = []

    def work(host: str, _options: Options) -> Exit:
        seen.append(host)
        return Exit.INTERRUPTED

    assert each(given("x://a/s", "x://b/s"), work) == Exit.INTERRUPTED
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("hosts", "document"),
    [
        (["x://a/s"], {"pool": "p"}),
        (["x://a/s", "x://b/s"], {"schema": 1, "hosts": [{"host": "a", "pool": "p"}, {"host": "b", "pool": "p"}]}),
    ],
)
def test_several_hosts_are_one_document(
    capsys: pytest.CaptureFixture[str], hosts: list[str], document: dict[str, object]
) -> None:
    def work(_host: str, _options: Options, show: Show | None) -> Exit:
        assert show is not None
        show({"pool": "p"})
        return Exit.OK

    assert each_documented(given(*hosts), work, json=True) == Exit.OK
    assert json.loads(capsys.readouterr().out) == document


def test_the_error_of_the_only_host_is_raised() -> None:
    def fail(_host: str, _options: Options) -> Exit:
        raise RefusedError("no")

    with pytest.raises(RefusedError):
        each(given("x://a/s"), fail)


def test_pools_of_several_hosts_are_told_with_their_host(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[hosts]\none = "test:///default"\ntwo = "test+unix:///default"\n')
    monkeypatch.delenv("SVMOVE_CONNECT", raising=False)
    assert run(["--policy", str(policy), "-c", "*", "pools", "--json"]) == Exit.UNREACHABLE
    found = capsys.readouterr()
    assert [(pool["host"], pool["name"]) for pool in json.loads(found.out)["pools"]] == [("one", "default-pool")]
    assert found.err.startswith("two: ")
    assert run(["--policy", str(policy), "-c", "one", "-c", "test:///default?x", "pools"]) == Exit.OK
    out = capsys.readouterr().out
    assert out.split()[:2] == ["host", "pool"]
    assert run(["-c", "test:///default", "-c", "qemu:///system", "disks", "test"]) == Exit.USAGE
