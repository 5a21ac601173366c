"""An image's place as one string: what is written is read again, and what is one image is known as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove import location
from svmove.location import Network, Protocol, Secret, Server

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cs", "Cc"]), min_size=1)
SERVERS = st.builds(
    Server,
    host=st.sampled_from(["10.0.0.1", "mon-a", "2001:db8::1"]),
    port=st.none() | st.integers(1, 65535),
)
SECRETS = st.builds(Secret, uuid=st.uuids().map(str)) | st.builds(Secret, usage=WORDS)


@st.composite
def images(draw: st.DrawFn) -> Network:
    protocol = draw(st.sampled_from(Protocol))
    unix = protocol is Protocol.NBD and draw(st.booleans())
    return Network(
        protocol=protocol,
        name="/".join(draw(st.lists(WORDS, min_size=1, max_size=3))),
        servers=() if unix else tuple(draw(st.lists(SERVERS, min_size=1, max_size=3))),
        socket="/run/" + draw(WORDS) if unix else None,
        user=draw(st.none() | WORDS),
        secret=draw(st.none() | SECRETS),
        initiator=draw(st.none() | WORDS) if protocol is Protocol.ISCSI else None,
    )


@given(images())
def test_what_is_written_is_read_again(image: Network) -> None:
    assert location.parse(str(image)) == image
    assert location.is_network(str(image))
    assert not location.is_file(str(image))


@given(images())
def test_an_image_is_the_same_whoever_opens_it_and_by_whichever_server(image: Network) -> None:
    other = Network(
        protocol=image.protocol, name=image.name, servers=tuple(reversed(image.servers)), socket=image.socket, user="x"
    )
    assert other.identity == image.identity


@given(images(), WORDS)
def test_a_volume_of_a_pool_is_found_in_it_again(pool: Network, name: str) -> None:
    assert location.volume(str(pool), location.child(str(pool), name)) == (
        f"unit:0:0:{name}" if pool.protocol is Protocol.ISCSI else name
    )


@pytest.mark.parametrize(
    ("pool", "volume", "found"),
    [
        ("/srv/a", "web.img", "/srv/a/web.img"),
        ("rbd://libvirt@mon:6789/vms?secret-uuid=u", "web", "rbd://libvirt@mon:6789/vms/web?secret-uuid=u"),
        ("iscsi://10.0.0.5/iqn.2026-11.org:san", "unit:0:0:3", "iscsi://10.0.0.5/iqn.2026-11.org:san/3"),
    ],
)
def test_a_volume_lies_in_its_pool(pool: str, volume: str, found: str) -> None:
    assert location.child(pool, volume) == found
    assert location.volume(pool, found) == volume


@pytest.mark.parametrize(
    "elsewhere", ["/srv/b/web.img", "rbd://mon/other/web", "rbd://other/vms/web", "nbd://mon/vms/web"]
)
def test_what_lies_elsewhere_is_in_no_such_pool(elsewhere: str) -> None:
    assert location.volume("rbd://mon/vms", elsewhere) is None


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://host/image", "not one of"),
        ("rbd://user:password@mon/vms/web", "password"),
        ("nbd+unix:///export", "socket"),
        ("nbd://host/export?socket=/run/x", "socket"),
        ("nbd://host:port/export", "no port"),
        ("nbd://host/export?tls=yes", "tls"),
    ],
)
def test_what_is_no_such_place_is_told(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        location.parse(uri)


def test_devices_and_files_are_told_apart() -> None:
    assert location.is_device("/dev/vg/lv")
    assert not location.is_device("/dev/shm/a.img")
    assert location.is_file("/srv/a:b@c.img")
    assert location.is_file("rbd:relative")
