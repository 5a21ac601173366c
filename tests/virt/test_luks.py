"""LUKS in libvirt's XML: read from a disk, and written for a volume, a copy and the next start."""

import pytest
from lxml import etree

from svmove.errors import HypervisorError
from svmove.location import Secret
from svmove.model import Disk
from svmove.retries import Retries, RetryPolicy
from svmove.units import MiB
from svmove.virt import documents, xml
from svmove.virt.hypervisor import LibvirtHypervisor
from svmove.virt.sources import write
from svmove.volumes import LUKS_HEADER
from tests.builders import disk_plan, spec

UUID = "6f2c8d1e-0000-4000-8000-00000000000a"
KEY = Secret(uuid=UUID)
ONE = f"<secret type='passphrase' uuid='{UUID}'/>"
LUKS = f"<encryption format='luks'>{ONE}</encryption>"


def read(inner: str) -> Disk:
    text = f"<domain><devices><disk type='file'>{inner}<target dev='vda'/></disk></devices></domain>"
    (found,) = xml.disks(xml.parse(text), lambda _pool, _volume: None)
    return found


@pytest.mark.parametrize(
    "inner",
    [
        f"<source file='/a'>{LUKS}</source>",
        f"<source file='/a'/>{LUKS}",
        f"<source file='/a'><encryption format='luks' engine='qemu'>{ONE}</encryption></source><backingStore/>",
        # While it is copied to a place with another key.
        f"<source file='/a'>{LUKS}</source><mirror type='file'><source file='/b'>{LUKS}</source></mirror>",
    ],
)
def test_one_passphrase_is_the_disks_key(inner: str) -> None:
    found = read(inner)
    assert (found.luks, found.encrypted) == (KEY, False)


def test_a_secret_may_be_named_by_its_usage() -> None:
    inner = "<source file='/a'><encryption format='luks'><secret type='passphrase' usage='web'/></encryption></source>"
    assert read(inner).luks == Secret(usage="web")


@pytest.mark.parametrize(
    "encryption",
    [
        f"<encryption format='qcow'>{ONE}</encryption>",
        "<encryption format='luks'/>",
        f"<encryption format='luks'>{ONE}{ONE}</encryption>",
        f"<encryption format='luks' engine='librbd'>{ONE}</encryption>",
        f"<encryption format='luks'>{ONE.replace('passphrase', 'volume')}</encryption>",
    ],
)
def test_other_encryption_is_encryption_without_a_key_that_is_known(encryption: str) -> None:
    found = read(f"<source file='/a'>{encryption}</source>")
    assert (found.luks, found.encrypted) == (None, True)


def test_a_plain_disk_with_something_encrypted_below_it_counts_as_encrypted() -> None:
    below = f"<backingStore type='file'><source file='/b'>{LUKS}</source></backingStore>"
    assert (read(f"<source file='/a'/>{below}").encrypted, read("<source file='/a'/>").encrypted) == (True, False)
    assert read(f"<source file='/a'/><mirror type='file'><source file='/b'>{LUKS}</source></mirror>").encrypted is False


def test_a_volume_is_made_and_copied_to_with_its_key() -> None:
    made = spec(luks=KEY)
    for text, path in ((documents.volume(made), "target/encryption"), (documents.copy_destination(made), "source/*")):
        found = etree.fromstring(text).find(path)
        assert found is not None
        assert etree.tostring(found).decode().replace('"', "'") == LUKS
    for text in (documents.volume(spec()), documents.copy_destination(spec())):
        assert "encryption" not in text


@pytest.mark.parametrize("old", [f"<source file='/old'>{LUKS}</source>", f"<source file='/old'/>{LUKS}"])
@pytest.mark.parametrize("key", [None, KEY, Secret(usage="a & <b>")])
def test_the_next_start_has_the_key_of_where_it_goes_and_no_other(old: str, key: Secret | None) -> None:
    text = f"<domain><devices><disk type='file'>{old}<target dev='vda'/></disk></devices></domain>"
    (found,) = xml.disks(
        xml.parse(xml.with_sources(text, {"vda": ("/new", "raw")}, {"/new": key})), lambda _pool, _volume: None
    )
    assert (found.path, found.luks, found.encrypted) == ("/new", key, False)


def test_the_marker_knows_the_keys_of_both_sides() -> None:
    plan = disk_plan(source_luks=KEY, destination=spec(luks=Secret(usage="web")))
    text = f"<domain><metadata>{xml.marker_element('m', [plan])}</metadata></domain>"
    text = text.replace("<move", f"<move xmlns='{xml.MARKER_URI}'")
    (marked,) = xml.marked(xml.parse(text))
    assert (marked.source_luks, marked.destination_luks) == (UUID, "web")


@pytest.mark.parametrize("path", ["/dev/sdb", "iscsi://10.0.0.5/iqn.2026-11.org:san/1", "/a"])
def test_a_key_is_named_wherever_the_image_lies(path: str) -> None:
    kind, source = write(path, KEY, 512)
    text = f"<domain><devices><disk type='{kind}'>{xml.serialized(source)}<target dev='vda'/></disk></devices></domain>"
    (found,) = xml.disks(xml.parse(text), lambda _pool, _volume: None)
    assert (found.path, found.luks, found.slice_bytes) == (path, KEY, 512)


def test_what_is_no_file_is_made_plain_and_copied_to_with_its_header() -> None:
    made = spec(path="rbd://10.0.0.1/vms/web", format="raw", luks=KEY, capacity=MiB)
    length = str(MiB + LUKS_HEADER)
    volume = etree.fromstring(documents.volume(made))
    assert (volume.findtext("capacity"), volume.find(".//encryption")) == (length, None)
    copied = etree.fromstring(documents.copy_destination(made, sliced=True))
    assert copied.find("source/encryption") is not None
    assert [one.get("size") for one in copied.iterfind("source/slices/slice")] == [length]


class Flaky:
    """libvirt's connection to a host whose CPU is busy for the first so many calls."""

    def __init__(self, times: int, text: str) -> None:
        self.left, self.text, self.calls = times, text, 0
        self.retries = Retries(RetryPolicy(first_wait=0.001, longest_wait=0.001, jitter=0.0))

    def once(self, _call: object) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise HypervisorError(self.text)
        return "made"


FLAKE = "internal error: qemu-img: /a: Unable to get accurate CPU usage"


@pytest.mark.parametrize(
    ("key", "connection", "calls"),
    [
        (KEY, Flaky(2, FLAKE), 3),
        (KEY, Flaky(99, FLAKE), 6),
        (KEY, Flaky(99, "No space left on device"), 1),
        (None, Flaky(99, FLAKE), 1),
    ],
)
def test_a_key_that_could_not_be_measured_is_made_again_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, key: Secret | None, connection: Flaky, calls: int
) -> None:
    made = LibvirtHypervisor("test:///default", RetryPolicy())
    monkeypatch.setattr(made, "_connection", connection)
    if connection.left == 99:
        with pytest.raises(HypervisorError, match=connection.text):
            made.create_volume(spec(luks=key))
    else:
        made.create_volume(spec(luks=key))
    assert connection.calls == calls
