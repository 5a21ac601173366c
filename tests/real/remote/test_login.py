"""Who is let in, and what is said when nobody is."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from svmove.errors import UnreachableError
from svmove.policy import HostPolicy, Policy
from svmove.reach import reach
from svmove.retries import RetryPolicy
from tests.real.sshd import Server
from tests.real.world import GUEST, World


def refused(uri: str, *says: str, policy: Policy | None = None) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        reach(uri, policy or Policy()).host.identity("/")
    for words in says:
        assert words in f"{caught.value.text} {caught.value.remedy}"
    return caught.value


def fingerprint(key: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def test_a_host_key_that_is_not_known_is_refused_with_its_fingerprint(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "ssh" / "known_hosts"
    uri = server.uri(known_hosts=str(known))
    refused(uri, fingerprint(server.folder / "host_key.pub"), "ssh-keyscan -p", str(known))
    assert not known.exists()
    reach(f"{uri}&known_hosts_verify=auto", Policy()).host.identity("/")
    assert known.read_text().startswith(f"[{server.address}]:{server.port} ")
    reach(uri, Policy()).host.identity("/")
    reach(server.uri(known_hosts="/nowhere", no_verify="1"), Policy()).host.identity("/")


def test_a_host_key_that_has_changed_is_refused_with_both_fingerprints(server: Server, tmp_path: Path) -> None:
    kind, key, *_ = (server.folder / "user_key.pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"[{server.address}]:{server.port} {kind} {key}\n")
    prints = [fingerprint(server.folder / f"{name}.pub") for name in ("host_key", "user_key")]
    refused(server.uri(known_hosts=str(known)), *prints, f"ssh-keygen -R '[{server.address}]:{server.port}'")
    refused(server.uri(known_hosts=str(known), known_hosts_verify="auto"), *prints)


def test_a_key_that_is_not_let_in_is_told_with_what_to_do(server: Server, tmp_path: Path) -> None:
    for passphrase, says in (("", "does not let us in"), ("secret", "has a passphrase")):
        key = tmp_path / f"key{passphrase}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(key)], check=True)
        refused(server.uri(keyfile=str(key)), says, "ssh-")


def test_where_nobody_answers_that_is_told_at_once(server: Server) -> None:
    began = time.monotonic()
    refused(server.uri().replace(f":{server.port}/", ":1/"), "port 1", f"ssh -p 1 root@{server.address}")
    refused(server.uri(socket="/run/none"), f"no libvirt on {server.address}", "/run/none", "systemctl start libvirtd")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (HostPolicy(python="no-such-python"), ["no-such-python", "python3 there"]),
        (HostPolicy(python="false"), ["exit code 1"]),
    ],
    ids=["absent", "broken"],
)
def test_a_host_without_its_python_is_told_with_what_to_install(
    server: Server, host: HostPolicy, says: list[str]
) -> None:
    refused(server.uri(), *says, policy=Policy(host=host))


def test_doctor_looks_at_that_host(world: World) -> None:
    result = world.cli("doctor", "--json")
    assert result.code == 0, result.stdout + result.stderr
    seen = {line["subject"]: line["seen"] for line in result.document["lines"]}
    assert "virsh" in seen["commands"]
    assert f"scratch {world.scratch}" in seen
    assert {"pool lab-a", "pool lab-b"} <= set(seen)


def test_a_command_goes_by_sudo_if_the_policy_says_so(server: Server, world: World) -> None:
    with_sudo = Policy(host=HostPolicy(sudo=True), retry=RetryPolicy(reconnect=1.0))
    found = reach(server.uri(), with_sudo)
    assert found.hypervisor.find_domain(GUEST).name == GUEST
    assert found.host.identity("/") is not None


def test_a_host_is_reached_through_another_by_ssh_s_own_configuration(server: Server, world: World) -> None:
    home = world.folder / "home"
    (home / ".ssh").mkdir(parents=True)
    login = f"User root\n IdentityFile {server.folder}/user_key\n UserKnownHostsFile {server.known_hosts}\n"
    (home / ".ssh" / "config").write_text(
        f"Host db1\n HostName 127.0.0.1\n Port {server.port}\n ProxyJump jump\n {login}"
        f"Host jump\n HostName {server.address}\n Port {server.port}\n {login}"
    )
    argv = world.cli.argv("pools", "--json", uri=f"qemu+ssh://db1/system?socket={server.libvirt}")
    done = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, "HOME": str(home)}, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "lab-a" in done.stdout
