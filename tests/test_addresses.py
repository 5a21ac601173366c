"""libvirt's URIs of other hosts."""

import pytest

from svmove import addresses
from svmove.addresses import HostKeys
from svmove.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/run/x", False),
        ("test:///default", False),
        ("qemu+ssh://db1/system", True),
        ("qemu+ssh://localhost/system", True),
        ("qemu+tcp://db1/system", True),
        ("qemu://db1/system", True),
        ("", False),
        ("qemu+ssh://[::1/system", False),
    ],
)
def test_a_daemon_on_another_host_is_told_by_its_uri(uri: str, remote: bool) -> None:
    assert addresses.is_remote(uri) is remote


def test_all_that_a_uri_says_is_read() -> None:
    found = addresses.parse(
        "qemu+ssh://ad%40min@[fe80::1]:2222/system?keyfile=/k&known_hosts=/h&known_hosts_verify=auto&sshauth=privkey"
        "&socket=/run/libvirt/virtqemud-sock&proxy=netcat"
    )
    assert (found.user, found.host, found.port) == ("ad@min", "fe80::1", 2222)
    assert (found.keyfile, found.known_hosts, found.host_keys) == ("/k", "/h", HostKeys.ADD)
    assert (found.login, found.libvirt_socket) == (("privkey",), "/run/libvirt/virtqemud-sock")
    assert found.local_uri == "qemu+unix:///system?socket=/run/libvirt/virtqemud-sock"


def test_what_a_uri_leaves_out_has_its_default() -> None:
    found = addresses.parse("qemu+ssh://db1/system")
    assert (found.user, found.port, found.keyfile, found.host_keys) == (None, None, None, None)
    assert (found.libvirt_socket, found.local_uri) == ("/var/run/libvirt/libvirt-sock", "qemu:///system")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("qemu+tcp://db1/system", "reached by SSH"),
        ("qemu+tls://db1/system", "reached by SSH"),
        ("qemu://db1/system", "reached by SSH"),
        ("qemu+ssh://me:hunter2@db1/system", "for everybody to read"),
        ("qemu+ssh://db1/session", "/system"),
        ("qemu+ssh://db1:x/system", "ort"),
        ("qemu+ssh://db1/system?keyfil=/k", "unknown parameter keyfil"),
        ("qemu+ssh://db1/system?sshauth=password", "sshauth=password"),
        ("qemu+ssh://db1/system?known_hosts_verify=maybe", "known_hosts_verify=maybe"),
    ],
)
def test_a_uri_that_can_not_be_followed_is_refused_with_its_cause_and_without_its_password(uri: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        addresses.parse(uri)
    assert "hunter2" not in caught.value.text + (caught.value.remedy or "")


def test_no_verify_is_what_it_says() -> None:
    assert addresses.parse("qemu+ssh://db1/system?no_verify=1").host_keys is HostKeys.IGNORE
    assert addresses.parse("qemu+ssh://db1/system?no_verify=0").host_keys is None


def test_a_daemon_of_this_host_has_no_host_of_its_own() -> None:
    assert addresses.host("qemu+unix:///system?socket=/run/x") is None
    assert addresses.host("qemu+ssh://me@db1:22/system") == "db1"


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://root@db1/system?keyfile=/k&no_verify=1", "qemu+ssh://db1/system"),
        ("qemu+ssh://db1:2222/system?socket=/run/s", "qemu+ssh://db1:2222/system?socket=/run/s"),
    ],
)
def test_a_daemon_has_one_address_however_one_logs_in(uri: str, address: str) -> None:
    assert addresses.address(uri) == address
