"""Images on the network as QEMU has them: what it is given is what it tells."""

import json

import pytest
from hypothesis import given

from svmove import blockdev, location
from svmove.location import Network, Protocol
from tests.test_location import images


def qemu_can(image: Network) -> bool:
    """Names that QEMU's own structure can carry."""
    if image.protocol is Protocol.RBD:
        return image.name.count("/") in (1, 2)
    if image.protocol is Protocol.ISCSI:
        return image.name.rpartition("/")[2].isascii() and image.name.rpartition("/")[2].isdigit()
    return True


@given(images())
def test_what_qemu_was_given_is_known_again(image: Network) -> None:
    if image.protocol is Protocol.ISCSI:
        image = location.parse(location.child(f"iscsi://{image.servers[0]}/iqn.2026-11.org:a", "unit:0:0:7"))
    if not qemu_can(image):
        return
    told = blockdev.image_of("json:" + json.dumps({"driver": "raw", "file": blockdev.options(image, None)}))
    assert told is not None
    assert told.identity == first_server(image).identity


def first_server(image: Network) -> Network:
    """iSCSI and NBD have one server."""
    if image.protocol is Protocol.RBD:
        return image
    return Network(protocol=image.protocol, name=image.name, servers=image.servers[:1], socket=image.socket)


@pytest.mark.parametrize(
    ("filename", "identity"),
    [
        (
            "rbd:vms/web:id=a:key=QUJD==:mon_host=10.0.0.1\\:6789\\;10.0.0.2",
            "rbd://10.0.0.1:6789,10.0.0.2:6789/vms/web",
        ),
        ("rbd:vms/web:mon_host=[v2\\:10.0.0.1\\:3300/0]", "rbd:///vms/web"),
        ("rbd:vms/web@snapshot", "rbd:///vms/web"),
        ("nbd+unix:///disk?socket=/run/nbd.sock", "nbd+unix:///disk?socket=/run/nbd.sock"),
        ("nbd://10.0.0.7:10809/disk", "nbd://10.0.0.7:10809/disk"),
        (
            'json:{"driver": "rbd", "pool": "vms", "image": "web", "server.0.host": "mon", "server.0.port": "6789"}',
            "rbd://mon:6789/vms/web",
        ),
        ("/srv/a.img", None),
        ('json:{"driver": "qcow2", "file": {"driver": "file", "filename": "/srv/a.img"}}', None),
    ],
)
def test_a_block_nodes_file_name_is_understood(filename: str, identity: str | None) -> None:
    found = blockdev.image_of(filename)
    assert (found.identity if found else None) == identity


def test_a_secret_is_named_and_never_told() -> None:
    image = location.parse("rbd://libvirt@mon:6789/vms/web?secret-uuid=u")
    assert blockdev.options(image, "secret0") == {
        "driver": "rbd",
        "pool": "vms",
        "image": "web",
        "server": [{"host": "mon", "port": "6789"}],
        "user": "libvirt",
        "key-secret": "secret0",
        "auth-client-required": ["cephx"],
    }
